"""Configuration files as settings with their lines.

Four forms, found out by themselves: Milvus's own milvus.yaml, Helm values of its chart, manifests of Milvus resources,
and manifests of ConfigMaps, such as the chart renders. Each document of a file is a configuration of its own. Helm
values and Milvus resources also have environment variables, which Milvus reads as keys; those that may be meant so are
settings, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from milvus_tuning.catalogue import EVERY_COMPONENT
from milvus_tuning.catalogue.environment import may_be_meant
from milvus_tuning.catalogue.lint import Setting
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.errors import ConfigError

USER_FILE = ("extraConfigFiles", "user.yaml")
HELM_ONLY = frozenset({USER_FILE[0], "extraEnv", "cluster", "image", "ingress", "service", "serviceAccount"})
"""Values of the Milvus chart that are no section of Milvus."""
EXTRA_ENV = "extraEnv"
CHART_COMPONENTS = (
    "standalone",
    "proxy",
    "rootCoordinator",
    "queryCoordinator",
    "dataCoordinator",
    "indexCoordinator",
    "mixCoordinator",
    "queryNode",
    "dataNode",
    "indexNode",
    "streamingNode",
)
RESOURCES = frozenset({"Milvus", "MilvusCluster"})
CONFIG_MAP = "ConfigMap"
_TEMPLATE = re.compile(r"\{\{.*?\}\}")


def read_settings_file(path: Path) -> list[list[Setting]]:
    """All settings of a file by document; raises ConfigError with file, line and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return settings_of(text, str(path))


def settings_of(text: str, file: str) -> list[list[Setting]]:
    """All settings of a text by document, whichever form it has; none of an empty one."""
    documents = _compose(text, file)
    kinds = [_word(document, "kind") for document in documents]
    manifests = any(kind in {*RESOURCES, CONFIG_MAP} for kind in kinds)
    found = (
        list(_manifest(document, kind, file) if manifests else _document(document, file))
        for document, kind in zip(documents, kinds, strict=True)
    )
    return [settings for settings in found if settings]


def _manifest(node: Node, kind: str, file: str) -> Iterator[Setting]:
    root = _mapping(node, file)
    if kind in RESOURCES:
        config = _child(root, "spec", "config")
        yield from _leaves(config, "", file, 0) if config is not None else ()
        components = _child(root, "spec", "components")
        yield from _variables(_child(components, "env"), EVERY_COMPONENT, file)
        for name, component in components.value if isinstance(components, MappingNode) else ():
            yield from _variables(_child(component, "env"), name.value, file)
    elif kind == CONFIG_MAP:
        data = _child(root, "data")
        for name, text in data.value if isinstance(data, MappingNode) else ():
            if name.value.endswith(".yaml"):
                yield from _embedded(text, file)


def _document(node: Node, file: str) -> Iterator[Setting]:
    root = _mapping(node, file)
    environments = [_child(root, name, EXTRA_ENV) for name in CHART_COMPONENTS]
    if not any(key.value in HELM_ONLY for key, _ in root.value) and not any(environments):
        yield from _leaves(root, "", file, 0)
        return
    yield from _embedded(_child(root, *USER_FILE), file)
    yield from _variables(_child(root, EXTRA_ENV), EVERY_COMPONENT, file)
    for name, found in zip(CHART_COMPONENTS, environments, strict=True):
        yield from _variables(found, name, file)


def _variables(node: Node | None, component: str, file: str) -> Iterator[Setting]:
    """The variables of a list of name and value that may be meant for Milvus; one whose value is elsewhere is none."""
    for entry in node.value if isinstance(node, SequenceNode) else ():
        name, value = _child(entry, "name"), _child(entry, "value")
        if isinstance(name, ScalarNode) and value is not None and may_be_meant(name.value, catalogue()):
            line = name.start_mark.line + 1
            yield Setting(key=name.value, value=_text(value), file=file, line=line, environment=component)


def _embedded(text: Node | None, file: str) -> Iterator[Setting]:
    """The settings of a file that is a text inside of another one."""
    if not isinstance(text, ScalarNode):
        return
    above = text.start_mark.line + (1 if text.style in {"|", ">"} else 0)
    for inner in _compose(text.value, file, above):
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
