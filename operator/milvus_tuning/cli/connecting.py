"""The road to the API server, taken where a command needs it.

The kubernetes package is imported with the first connection: `--help`, completion and the offline commands
(`config lint`, `config diff`, `rebalance plan`) start in half the time without it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milvus_tuning.cli.cluster import Cluster


def connected(parsed: argparse.Namespace) -> Cluster:
    """The cluster that the options of a command name (`arguments.add_connection`)."""
    from milvus_tuning.cli.cluster import Address, connect

    return connect(Address(namespace=parsed.namespace, context=parsed.context, kubeconfig=parsed.kubeconfig))
