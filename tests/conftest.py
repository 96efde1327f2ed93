"""No test dials out: unit and integration tests may connect to loopback addresses only."""

import gc
import ipaddress
import socket
from typing import Any

import pytest

YOUNG_OBJECTS = 20_000
"""A look for garbage after so many new objects: Python's own 700 are soon there, and next to no garbage is found."""


def pytest_sessionstart() -> None:
    """No look for garbage while modules are read: what they make stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what imports and collection made out of garbage collection: else each full one goes through all of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()


@pytest.fixture(autouse=True)
def only_loopback(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse any other address, loudly; the end-to-end tests are inside a network namespace of their own."""
    if request.node.get_closest_marker("e2e") is not None:
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            pytest.fail(f"a test dialled {address[0]}:{address[1]}, which is not a loopback address")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
