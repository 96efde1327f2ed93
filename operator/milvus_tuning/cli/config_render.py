"""`milvus-tuning config render`: what a policy declares, as Milvus's own keys for one exact release. Works offline.

For people who put settings into Git themselves. What each intent comes to is decided as in the operator, for a cluster
of which nothing is known: what is reckoned from measurements is not rendered, and said in a comment with the reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from milvus_tuning.api import KIND, MilvusTuningSpec, Mode
from milvus_tuning.catalogue import Intent, ServerVersion
from milvus_tuning.catalogue.lint import target
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.cli.arguments import EXIT_OK, CommandParser
from milvus_tuning.clients.resource_config import typed
from milvus_tuning.decide.config.road import REREAD_SINCE
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.errors import ConfigError
from milvus_tuning.plan import SettingState, SettingStatus
from milvus_tuning.snapshot import Snapshot

FORMS = ("milvus-cr", "helm-values", "milvus-yaml")
NOBODY = "nobody"  # no policy: nothing is held
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # nothing that is rendered depends on the time
_WRITTEN = frozenset({SettingState.APPLYING, SettingState.PENDING_RESTART})


def add_config_render(inner: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `config render`."""
    says = "print what a MilvusTuning in a file declares as keys of a release, for Git"
    parser = inner.add_parser("render", help=says, description=f"{says[0].upper()}{says[1:]}.")
    parser.add_argument("file", metavar="FILE", type=Path, help=f"manifest with one {KIND}")
    parser.add_argument("--milvus-version", required=True, metavar="VERSION", help="exact release, such as 2.5.4")
    parser.add_argument("--as", dest="form", choices=FORMS, default=FORMS[0], help=f"form (default {FORMS[0]})")
    parser.set_defaults(command=_render)


def _render(parsed: argparse.Namespace) -> int:
    try:
        wanted = target(parsed.milvus_version, catalogue())
    except ValueError as error:
        raise ConfigError(f"--milvus-version: {error}") from error
    if wanted.caution:
        print(f"{parsed.program}: {wanted.caution}", file=sys.stderr)
    spec = read_policy(parsed.file)
    print("\n".join(rendered(keys_of(spec, wanted.version), wanted.version, parsed.form)))
    return EXIT_OK


def read_policy(path: Path) -> MilvusTuningSpec:
    """The spec of the only MilvusTuning in a file; ConfigError with the file and what is wrong."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    found = [one for one in documents if isinstance(one, Mapping) and one.get("kind") == KIND]
    if len(found) != 1:
        raise ConfigError(f"{path} has {len(found)} manifests of kind {KIND}; one is needed")
    try:
        return MilvusTuningSpec.model_validate(found[0].get("spec"))
    except ValidationError as error:
        faults = (f"spec.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{path}: {'; '.join(faults)}") from error


def keys_of(spec: MilvusTuningSpec, version: ServerVersion) -> tuple[SettingStatus, ...]:
    """How each declared setting would stand in a cluster of this release that nothing else is known of."""
    settings = spec.model_copy(update={"mode": Mode.AUTO, "paused": False, "config_delivery": None})
    nothing = Snapshot(
        taken_at=BEGINNING, milvus_version=f"v{version}", settings_readable=True, etcd_root_path="by-dev"
    )
    return setting_steps(settings, nothing, BEGINNING, NOBODY)[1]


def rendered(found: Sequence[SettingStatus], version: ServerVersion, form: str) -> list[str]:
    """The lines of a form; what is not rendered stands before it, with the reason."""
    keys = [one for one in found if _is_rendered(one)]
    left = [one for one in found if not _is_rendered(one)]
    lines = [f"# Keys of Milvus {version}. {_when(version, form)}"]
    lines += [f"# Not rendered: {one.intent} ({one.state}): {_one_line(one)}" for one in left]
    body = list(_body(_tree(keys), ""))
    match form:
        case "milvus-cr":
            head = ["spec:", "  config:"] if body else ["spec:", "  config: {}"]
            return [*lines, *head, *(f"    {line}" for line in body)]
        case "helm-values":
            head = ["extraConfigFiles:", "  user.yaml: |+"]
            return [*lines, *head, *(f"    {line}" for line in body)]
        case _:
            return [*lines, *body]


def _is_rendered(one: SettingStatus) -> bool:
    return one.state in _WRITTEN and one.intent != Intent.PLACEMENT_OWNER


def _when(version: ServerVersion, form: str) -> str:
    """When what is in such a file acts."""
    if form == "milvus-cr" and version >= REREAD_SINCE:
        return "Running pods read them again within two minutes, but for those that name a restart."
    return "Running pods do not read them again: each acts at the next start of what reads it."


def _one_line(one: SettingStatus) -> str:
    if one.intent == Intent.PLACEMENT_OWNER:
        return "it hangs on a lease of the operator, and has no place in a file"
    return " ".join(one.message.split())


def _tree(keys: Sequence[SettingStatus]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for one in keys:
        *parents, name = str(one.key).split(".")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[name] = one
    return tree


def _body(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, SettingStatus):
            yield f"{indent}{name}: {_scalar(value)}  # {_told(value)}"
        else:
            yield f"{indent}{name}:"
            yield from _body(value, f"{indent}  ")


def _told(one: SettingStatus) -> str:
    return one.intent if one.component is None else f"{one.intent}; acts after a restart of {one.component}"


def _scalar(one: SettingStatus) -> str:
    text: str = yaml.safe_dump(typed(str(one.key), one.desired or ""), default_flow_style=True, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
