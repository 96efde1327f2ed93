"""Install the operator into the embedded cluster as a user would: by its chart, from the image of its Dockerfile."""

import json
from pathlib import Path

from tests.cluster import Cluster
from tests.cluster.images.operator_image import build_operator_image

REPO = Path(__file__).resolve().parents[2]
NAMESPACE, RELEASE = "milvus-tuning-system", "milvus-tuning-operator"
CHART = REPO / "charts" / "milvus-tuning-operator"


def install_operator(cluster: Cluster, *, interval_seconds: int = 3) -> None:
    """Build, import and install; a changed image is rolled out, an unchanged one is left running."""
    archive = build_operator_image(REPO)
    cluster.import_image(archive)
    cluster.helm(
        *("upgrade", "--install", RELEASE, str(CHART)),
        *("--namespace", NAMESPACE, "--create-namespace"),
        *("--values", "-", "--wait", "--timeout", "120s"),
        stdin=json.dumps(_values(archive, interval_seconds)),
    )


def _values(archive: Path, interval_seconds: int) -> dict[str, object]:
    return {
        "image": {"repository": "docker.io/local/milvus-tuning-operator", "tag": "dev", "pullPolicy": "Never"},
        "watchNamespaces": ["milvus"],
        "intervalSeconds": interval_seconds,
        "podAnnotations": {"milvustuning.io/image": archive.parent.name},  # another build of the same tag is a roll
    }
