"""Starts operator processes quickly: imports once, then forks; each child runs `milvus-tuning run` and nothing else.

Importing the operator takes two seconds of a core, and a crash test starts it some hundred times. A forked child is a
process of its own with its own environment, killed like any other; that the plain command starts the same way is tested
beside it. Commands come as JSON lines:

    {"start": {"environment": {...}, "log": "/path"}}   -> {"pid": 123}
    {"kill": 123}                                       -> {"ended": true}     SIGKILL, reaped
    {"alive": 123}                                      -> {"alive": true}

All children end with this process, and this process with its input.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from kubernetes.config import kube_config

from milvus_tuning.__main__ import main
from milvus_tuning.catalogue.reading import catalogue

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def warm() -> None:
    """Import what `run` imports only when it is called, and read the catalogue: half of what a first pass costs."""
    for module in ("handlers", "reconcile", "clients.lease"):
        importlib.import_module(f"milvus_tuning.{module}")
    catalogue()


def start(order: dict[str, Any]) -> int:
    """Fork an operator; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(order["environment"])
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ["KUBECONFIG"]  # it was read at the import
        code = main(["run"])
    except BaseException:  # the process of the launcher must not go on in its child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(children: set[int], pid: int, options: int) -> bool:
    """Whether a child has ended; it is reaped, and its id forgotten, with that."""
    if pid not in children:
        return True
    if os.waitpid(pid, options)[0] == 0:
        return False
    children.discard(pid)
    return True


def serve() -> None:
    """Carry out orders until there are no more."""
    children: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            pid = start(order["start"])
            children.add(pid)
            answer: dict[str, object] = {"pid": pid}
        elif "kill" in order:
            if order["kill"] in children:  # not reaped yet, so that the id is still its own
                os.kill(order["kill"], signal.SIGKILL)
            answer = {"ended": ended(children, order["kill"], 0)}
        else:
            answer = {"alive": not ended(children, order["alive"], os.WNOHANG)}
        print(json.dumps(answer), flush=True)
    for pid in list(children):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    warm()
    serve()
