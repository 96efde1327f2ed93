"""Write configuration files so that repeating it disturbs nobody: kube-proxy ends itself when its file is touched."""

from pathlib import Path


def write_if_other(path: Path, content: str, *, mode: int = 0o644) -> Path:
    """Write the file unless it has this content already; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != content:
        path.touch(mode=mode)
        path.write_text(content)
    return path
