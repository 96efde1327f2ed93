"""Configuration files as settings with their lines: Milvus's own milvus.yaml, Helm values, or a Milvus resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from milvus_tuning.catalogue.lint import Setting
from milvus_tuning.errors import ConfigError

USER_FILE = ("extraConfigFiles", "user.yaml")
_TEMPLATE = re.compile(r"\{\{.*?\}\}")


def read_settings_file(path: Path) -> list[Setting]:
    """All settings of a file; raises ConfigError with file, line and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return settings_of(text, str(path))


def settings_of(text: str, file: str) -> list[Setting]:
    """All settings of a text, whichever of the three forms it has; none of an empty one."""
    documents = _compose(text, file)
    found: list[Setting] = []
    milvus = [document for document in documents if _word(document, "kind") == "Milvus"]
    for document in milvus or documents:
        found += _document(document, file, resource=bool(milvus))
    return found


def _document(node: Node, file: str, *, resource: bool) -> Iterator[Setting]:
    root = _mapping(node, file)
    if resource:
        config = _child(root, "spec", "config")
        yield from _leaves(config, "", file, 0) if config is not None else ()
        return
    embedded = _child(root, *USER_FILE)
    if embedded is None and _child(root, USER_FILE[0]) is None:
        yield from _leaves(root, "", file, 0)
        return
    if not isinstance(embedded, ScalarNode):
        return
    above = embedded.start_mark.line + (1 if embedded.style in {"|", ">"} else 0)
    for inner in _compose(embedded.value, file, above):
        yield from _leaves(_mapping(inner, file), "", file, above)


def _compose(text: str, file: str, above: int = 0) -> list[Node]:
    try:
        return [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if _filled(node)]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{above + mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{file}{line}: not YAML: {problem}{_hint(text, mark)}") from error


def _hint(text: str, mark: object) -> str:
    line = getattr(mark, "line", -1)
    lines = text.splitlines()
    if 0 <= line < len(lines) and _TEMPLATE.search(lines[line]):
        return "; the file is a template, render it first"
    return ""


def _filled(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, ScalarNode) and node.value == "")


def _mapping(node: Node, file: str) -> MappingNode:
    if not isinstance(node, MappingNode):
        raise ConfigError(f"{file}:{node.start_mark.line + 1}: a mapping of keys is expected")
    return node


def _leaves(node: Node, prefix: str, file: str, above: int) -> Iterator[Setting]:
    """Each leaf below a mapping, its path joined by dots; a list is one value, joined by commas as Milvus does."""
    if not isinstance(node, MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, MappingNode):
            if not value.value:
                continue
            yield from _leaves(value, f"{name}.", file, above)
        else:
            yield Setting(key=name, value=_text(value), file=file, line=above + key.start_mark.line + 1)


def _text(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return ",".join(_text(item) for item in node.value)
    if not isinstance(node, ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return ""
    if node.tag == "tag:yaml.org,2002:bool":
        return "true" if node.value.lower() in {"true", "yes", "on"} else "false"
    return str(node.value)


def _child(node: Node | None, *path: str) -> Node | None:
    for name in path:
        if not isinstance(node, MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == name), None)
    return node


def _word(node: Node, name: str) -> str:
    found = _child(node, name)
    return str(found.value) if isinstance(found, ScalarNode) else ""
