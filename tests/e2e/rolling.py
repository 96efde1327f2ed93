"""A roll of the QueryNodes as it is seen from outside: by a watch of their pods, and by Milvus's placement."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.e2e.world import NAMESPACE, RELEASE, World

QUERY_NODES = f"component=querynode,app.kubernetes.io/instance={RELEASE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """The QueryNodes at one moment, by pod UID."""

    ready: frozenset[str]
    leaving: frozenset[str]


@dataclass(kw_only=True)
class PodWatch:
    """Every change of the QueryNode pods, as the API server tells it; a context manager."""

    world: World
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> PodWatch:
        command = ["kubectl", "-n", NAMESPACE, "get", "pods", "-l", QUERY_NODES, "-o", "json"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--watch", "--output-watch-events"], stdout=log, env=dict(self.world.environment)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()

    def moments(self) -> list[Moment]:
        """What was seen so far, oldest first."""
        pods: dict[str, dict[str, Any]] = {}
        moments = []
        for event in _documents(self.log.read_text()):
            pod = event["object"]
            if event["type"] == "DELETED":
                pods.pop(pod["metadata"]["uid"], None)
            else:
                pods[pod["metadata"]["uid"]] = pod
            moments.append(_moment(pods))
        return moments

    def left(self) -> list[str]:
        """The pods that were told to stop, in that order."""
        return list(dict.fromkeys(uid for moment in self.moments() for uid in sorted(moment.leaving)))


def _moment(pods: dict[str, dict[str, Any]]) -> Moment:
    """A pod whose containers have ended is gone, though its object stays for a moment."""
    there = {uid: pod for uid, pod in pods.items() if pod["status"].get("phase") not in {"Succeeded", "Failed"}}
    leaving = frozenset(uid for uid, pod in there.items() if "deletionTimestamp" in pod["metadata"])
    ready = frozenset(uid for uid, pod in there.items() if uid not in leaving and _is_ready(pod))
    return Moment(ready=ready, leaving=leaving)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON documents one after the other; the last one may still be being written."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip())
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return
        yield document
