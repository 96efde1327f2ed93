"""Run the stand-in: `python -m tests.standin --kubeconfig FILE --namespace NAME`, until interrupted."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from kubernetes import client, config

from tests.standin.kube import Kube, Refused
from tests.standin.operator import StandIn

CRD = Path(__file__).with_name("crd.yaml")
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def install_crd(kube: Kube, *, seconds: float = 20.0) -> None:
    """Create the Milvus CRD where it is missing, and wait until it is served."""
    manifest = yaml.safe_load(CRD.read_text())
    with contextlib.suppress(Refused):  # it is there already
        kube.create(CRD_PATH, manifest)
    deadline = time.monotonic() + seconds
    while not _established(kube, manifest["metadata"]["name"]):
        if time.monotonic() > deadline:
            raise TimeoutError("the Milvus CRD was not established")
        time.sleep(0.1)


def _established(kube: Kube, name: str) -> bool:
    crd = kube.read(f"{CRD_PATH}/{name}") or {}
    conditions = {entry["type"]: entry["status"] for entry in (crd.get("status", {}).get("conditions") or [])}
    return conditions.get("Established") == "True"


def main() -> None:
    """Parse the command line and loop."""
    parser = argparse.ArgumentParser(prog="tests.standin", description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--image", default="pause", help="image of every container")
    parser.add_argument("--interval-seconds", type=float, default=1.0)
    parser.add_argument("--step-seconds", type=float, default=15.0, help="time between two scale-in steps")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    connect: Callable[..., client.ApiClient] = config.new_client_from_config
    kube = Kube(connect(config_file=options.kubeconfig))
    install_crd(kube)
    standin = StandIn(kube, options.namespace, image=options.image, step_seconds=options.step_seconds)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            standin.run_pass()
            time.sleep(options.interval_seconds)


if __name__ == "__main__":
    main()
