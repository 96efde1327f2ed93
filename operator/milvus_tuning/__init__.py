"""A Kubernetes operator that keeps a Milvus vector database fast: observe, decide, apply, report."""

__version__ = "0.1.0"
