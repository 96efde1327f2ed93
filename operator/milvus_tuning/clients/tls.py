"""What an address must prove when it is called, for the clients over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Sequence


def context_for(addresses: Sequence[str], authority_pem: str | None) -> ssl.SSLContext | None:
    """Trust in the authority that was given (PEM), else in the system's; None where every address is plain http.

    The system's bundle is read only where something may be encrypted: it costs each client some 25 ms of CPU and a
    megabyte. Raises ssl.SSLError (an OSError) for an authority that is no PEM, whether it would be used or not.
    """
    if authority_pem is None and all(address.startswith("http://") for address in addresses):
        return None
    return ssl.create_default_context(cadata=authority_pem)
