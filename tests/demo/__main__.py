"""`make demo`: set the stage, play the story, say how long both took.

python -m tests.demo --cluster embedded|kind [--story size|hot] [--down]
"""

import argparse
import sys
import time
from collections.abc import Sequence

import yaml

from tests.cluster.errors import ClusterError
from tests.demo import environment, hot_story, size_story
from tests.demo.operator_install import REPO
from tests.demo.stage import Options, Stage

EXAMPLES = REPO / "manifests" / "examples"
STORIES = {
    "size": (size_story.play, EXAMPLES / "demo.yaml"),
    "hot": (hot_story.play, EXAMPLES / "demo-hot-segments.yaml"),
}
ROADS = {"embedded": environment.embedded, "kind": environment.kind}
WAYS_BACK = {"embedded": environment.embedded_down, "kind": environment.kind_down}


def main() -> int:
    """Play the demo, or remove what it made; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description="Show the operator at work.")
    parser.add_argument("--cluster", choices=sorted(ROADS), default="embedded")
    parser.add_argument("--story", choices=list(STORIES), action="append", help="which to play; all by default")
    parser.add_argument("--down", action="store_true", help="remove what the demo made")
    arguments = parser.parse_args()
    try:
        if arguments.down:
            WAYS_BACK[arguments.cluster]()
            return 0
        return _play(arguments.cluster, arguments.story or list(STORIES))
    except (environment.DemoError, ClusterError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


def _play(cluster: str, names: Sequence[str]) -> int:
    start = time.monotonic()
    with ROADS[cluster]() as road:
        ready = time.monotonic()
        print(f"\ncluster, Milvus, Prometheus and the operator are up after {ready - start:.0f} s\n", flush=True)
        codes = [_tell(name, road) for name in names]
    end = time.monotonic()
    print(f"\nset-up {ready - start:.0f} s, stories {end - ready:.0f} s, together {(end - start) / 60:.1f} min")
    print("the demo did not go as it should" if any(codes) else "the cluster stays up; `make demo-down` removes it")
    return max(codes)


def _tell(name: str, road: environment.Stage) -> int:
    play, manifest = STORIES[name]
    start = time.monotonic()
    metadata = yaml.safe_load(manifest.read_text(encoding="utf-8"))["metadata"]
    options = Options(
        kubeconfig=road.kubeconfig,
        uri=road.uri,
        namespace=metadata["namespace"],
        release=environment.MILVUS_RELEASE,
        name=metadata["name"],
    )
    code = play(Stage(options), manifest)
    print(f"story {name}: {time.monotonic() - start:.0f} s\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
