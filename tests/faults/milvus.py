"""A Milvus that acts, under the same script as the servers behind the proxy."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc  # type: ignore[import-untyped]

from tests.clients.acting_milvus import Gate
from tests.faults.proxy import NOT_SENT, Fault, Play

SERVICE = "/milvus.proto.milvus.MilvusService"
CARRIED_OUT = 200


def gate_of(play: Play) -> Gate:
    """Each write is counted with the others; what the script names for it happens to it.

    A connection that is closed, a server that is away and a reply that is lost are one thing to a gRPC client, and a
    conflict there is none: each is Unavailable.
    """

    def gate(name: str, context: grpc.ServicerContext, act: Callable[[], None]) -> None:
        entry = play.enter("POST", f"{SERVICE}/{name}")
        if entry.fault is not None and (entry.fault in NOT_SENT or entry.number is None):
            context.abort(grpc.StatusCode.UNAVAILABLE, f"played: {entry.fault}")
        if entry.fault is Fault.DELAY and play.script is not None:
            time.sleep(play.script.delay_seconds)
        act()
        if not play.answered(entry, CARRIED_OUT):
            context.abort(grpc.StatusCode.UNAVAILABLE, "played: the reply is lost")

    return gate
