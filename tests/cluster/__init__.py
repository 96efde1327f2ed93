"""The embedded cluster: a real Kubernetes, and on it a real Milvus, without Docker and without a registry.

Each cluster lives in a network namespace of its own, so nothing of it is reachable from outside and nothing leaks:

    python -m tests.cluster --name dev up
    python -m tests.cluster --name dev exec -- kubectl get pods -A
    python -m tests.cluster --name dev down
"""

from tests.cluster.api_only import control_plane_only
from tests.cluster.cluster import Cluster

__all__ = ["Cluster", "control_plane_only"]
