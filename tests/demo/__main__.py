"""`make demo`: set the stage, play the story, say how long both took.

python -m tests.demo --cluster embedded|kind [--down]
"""

import argparse
import sys
import time

import yaml

from tests.cluster.errors import ClusterError
from tests.demo import environment
from tests.demo.operator_install import REPO
from tests.demo.story import Options, Story

MANIFEST = REPO / "manifests" / "examples" / "demo.yaml"
ROADS = {"embedded": environment.embedded, "kind": environment.kind}
WAYS_BACK = {"embedded": environment.embedded_down, "kind": environment.kind_down}


def main() -> int:
    """Play the demo, or remove what it made; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description="Show the operator at work.")
    parser.add_argument("--cluster", choices=sorted(ROADS), default="embedded")
    parser.add_argument("--down", action="store_true", help="remove what the demo made")
    arguments = parser.parse_args()
    try:
        if arguments.down:
            WAYS_BACK[arguments.cluster]()
            return 0
        return _play(arguments.cluster)
    except (environment.DemoError, ClusterError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


def _play(cluster: str) -> int:
    start = time.monotonic()
    metadata = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["metadata"]
    with ROADS[cluster]() as stage:
        ready = time.monotonic()
        print(f"\ncluster, Milvus, Prometheus and the operator are up after {ready - start:.0f} s\n", flush=True)
        options = Options(
            kubeconfig=stage.kubeconfig,
            uri=stage.uri,
            namespace=metadata["namespace"],
            release=environment.MILVUS_RELEASE,
            manifest=MANIFEST,
            name=metadata["name"],
        )
        code = Story(options).play()
    end = time.monotonic()
    print(f"\nset-up {ready - start:.0f} s, story {end - ready:.0f} s, together {(end - start) / 60:.1f} min")
    print("the cluster stays up; `make demo-down` removes it" if code == 0 else "the demo did not go as it should")
    return code


if __name__ == "__main__":
    sys.exit(main())
