"""`milvus-tuning config revert`: declare again what was declared of Milvus's configuration when a plan was made.

Each plan keeps that in `spec.change.declared`. The policy's spec is written, by a merge patch that also takes away what
was not declared then; the operator plans the way back as it plans any change. An object that Argo CD, Flux or Helm
writes is left alone, for they would put theirs back: what to commit instead is printed.

Worked example: a plan of yesterday has {"loadBalancing": {"balanceIntervalSeconds": 60}}; today's spec has 5 there, and
network.compression. The patch is {"loadBalancing": {"balanceIntervalSeconds": 60}, "network": null}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from milvus_tuning.cli.arguments import EXIT_OK, EXIT_TO_DO, CommandParser, add_connection, repeated
from milvus_tuning.cli.connecting import connected
from milvus_tuning.cli.fields import Body, at, entries, mapping, name, text
from milvus_tuning.cli.layout import plural, table
from milvus_tuning.cli.plans import is_of
from milvus_tuning.cli.printing import screen_width
from milvus_tuning.errors import ConfigError, Conflict

if TYPE_CHECKING:
    from milvus_tuning.cli.cluster import Cluster

FIELDS = ("configDelivery", "loadBalancing", "network", "storage", "consistency", "configOverrides")
QUERY_NODES, OF_QUERY_NODES = "queryNodes", ("readConcurrencyPercent", "zonePreference")
ATTEMPTS = 5  # the operator writes the status every minute, which changes the resourceVersion
NOT_DECLARED = "(not declared)"
TOOLS_BY_MARK = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
}
"""Annotations and labels that a tool puts on what it writes."""
TOOLS_BY_MANAGER = {"argocd": "Argo CD", "kustomize-controller": "Flux", "helm": "Helm"}
"""How the field managers of a tool begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A field that is declared otherwise than it was; None is not declared."""

    field: str
    now: object
    then: object


def add_config_revert(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `config revert`."""
    says = "declare again what was declared of Milvus's configuration when a plan was made"
    parser = commands.add_parser("revert", help=says, description=f"{says[0].upper()}{says[1:]}.")
    parser.add_argument("policy", metavar="NAME", help="name of the MilvusTuning")
    parser.add_argument("plan", metavar="PLAN", help="name of a MilvusTuningPlan of it")
    parser.add_argument(
        "--dry-run", action="store_true", help="only show the difference; exit code 2 where there is one"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_connection(parser)
    parser.set_defaults(command=_revert)


def _revert(parsed: argparse.Namespace) -> int:
    cluster = connected(parsed)
    policy, plan = cluster.policy(parsed.policy), cluster.plan(parsed.plan)
    now, then = declared_now(policy), declared_then(plan, policy)
    found = differences(now, then)
    if not found:
        print(f"nothing to revert: {name(policy)} declares what it declared when {name(plan)} was made")
        return EXIT_OK
    print("\n".join(render(found, screen_width())))
    tool = managed_by(policy)
    if tool is not None:
        print(f"\n{to_commit(policy, now, then)}", end="")
    if parsed.dry_run:
        return EXIT_TO_DO
    if tool is not None:
        raise ConfigError(f"{name(policy)} is written by {tool}, which would undo the revert: commit what is above")
    if not parsed.yes:
        _ask(name(policy), len(found))
    _write(cluster, policy, merge_patch(now, then))
    print(f"{name(policy)}: {plural(len(found), 'field')} declared as when {name(plan)} was made")
    print("next: the operator plans the way back as it plans any change")
    print(f"watch: {repeated(parsed, 'plan', name(policy), cluster.namespace)}")
    return EXIT_OK


# -- what was declared, and what is ------------------------------------------------------------------------------------


def declared_then(plan: Body, policy: Body) -> Body:
    """What was declared when the plan was made. Raises ConfigError where the plan does not tell."""
    if not is_of(plan, policy):
        made_for = text(plan, "spec", "change", "policy", "name")
        which = "a deleted policy of that name" if made_for == name(policy) else f"the policy {made_for}"
        raise ConfigError(f"plan {name(plan)} was made for {which}, not for {name(policy)}")
    record = text(plan, "spec", "change", "declared")
    if not record:
        raise ConfigError(
            f"plan {name(plan)} keeps no record of what was declared when it was made: it is older than such records, "
            "or there was more than 16 KiB of it; name another plan, or change the MilvusTuning itself"
        )
    try:
        found = json.loads(record)
    except ValueError as error:
        raise ConfigError(f"plan {name(plan)}: spec.change.declared is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"plan {name(plan)}: spec.change.declared is no JSON object")
    if QUERY_NODES in found and not mapping(policy, "spec", QUERY_NODES):
        fields = " and ".join(f"{QUERY_NODES}.{field}" for field in mapping(found, QUERY_NODES))
        raise ConfigError(
            f"{fields} was declared when {name(plan)} was made, and {name(policy)} has no {QUERY_NODES} any more: "
            f"declare {QUERY_NODES} with its bounds, then revert"
        )
    return _complete(found)


def declared_now(policy: Body) -> Body:
    """What the policy declares of Milvus's configuration now."""
    spec = mapping(policy, "spec")
    found = {field: spec[field] for field in FIELDS if field in spec}
    nodes = {field: value for field, value in mapping(spec, QUERY_NODES).items() if field in OF_QUERY_NODES}
    return _complete(found | {QUERY_NODES: nodes} if nodes else found)


def _complete(found: Body) -> Body:
    """With a map for queryNodes, of which only some fields are ours to take away."""
    return {QUERY_NODES: {}, **found}


def differences(now: Body, then: Body) -> list[Difference]:
    """Field by field, in the order of their names; a list is one value."""
    before, after = dict(_leaves(now)), dict(_leaves(then))
    paths = sorted({*before, *after})
    return [
        Difference(field=path, now=before.get(path), then=after.get(path))
        for path in paths
        if before.get(path) != after.get(path)
    ]


def _leaves(body: Body, prefix: str = "") -> Iterator[tuple[str, object]]:
    for field, value in body.items():
        path = f'{prefix}["{field}"]' if prefix == FIELDS[-1] else f"{prefix}.{field}".lstrip(".")
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, value


def merge_patch(now: Body, then: Body) -> dict[str, object]:
    """What makes one the other, as RFC 7386 has it: None takes a field away."""
    patch: dict[str, object] = {field: None for field in now if field not in then}
    for field, value in then.items():
        before = now.get(field)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            patch |= {field: inner} if inner else {}
        elif field not in now or before != value:
            patch[field] = value
    return patch


# -- who writes the object ---------------------------------------------------------------------------------------------


def managed_by(policy: Body) -> str | None:
    """The tool that writes the object from elsewhere, told from its marks or its field manager; None: people do."""
    metadata = mapping(policy, "metadata")
    marks = {**mapping(metadata, "labels"), **mapping(metadata, "annotations")}
    for mark, tool in TOOLS_BY_MARK.items():
        if marks.get(mark):
            return tool
    if text(marks, "app.kubernetes.io/managed-by") == "Helm":
        return "Helm"
    managers = [
        text(entry, "manager").lower()
        for entry in entries(metadata, "managedFields")
        if mapping(entry, "fieldsV1", "f:spec")
    ]
    found = (tool for start, tool in TOOLS_BY_MANAGER.items() if any(one.startswith(start) for one in managers))
    return next(found, None)


def to_commit(policy: Body, now: Body, then: Body) -> str:
    """What the source of the object should say, as YAML: the fields that differ, whole, and which ones go."""
    changed = [field for field in (*FIELDS, QUERY_NODES) if _filled(now, field) != _filled(then, field)]
    stay = {field: then[field] for field in changed if _filled(then, field)}
    gone = [field for field in changed if field not in stay]
    if QUERY_NODES in gone:
        place = gone.index(QUERY_NODES)
        gone[place : place + 1] = [f"{QUERY_NODES}.{field}" for field in mapping(now, QUERY_NODES)]
    where = f"{text(policy, 'metadata', 'namespace')}/{name(policy)}"
    lines = [
        f"# MilvusTuning {where}: put these in the place of what spec says of them now (of queryNodes, these fields)"
    ]
    lines += [f"# and remove spec.{field}" for field in gone]
    return "\n".join(lines) + "\n" + (yaml.safe_dump({"spec": stay}, sort_keys=False) if stay else "")


def _filled(declared: Body, field: str) -> object:
    return declared.get(field) or None


# -- showing, asking, writing ------------------------------------------------------------------------------------------


def render(found: list[Difference], width: int) -> list[str]:
    """The differences for people."""
    rows = [(one.field, _shown(one.now), _shown(one.then)) for one in found]
    return table(("FIELD", "NOW", "AFTERWARDS"), rows, width=width)


def _shown(value: object) -> str:
    if value is None:
        return NOT_DECLARED
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _ask(policy: str, count: int) -> None:
    """Ask on the terminal; raises ConfigError for any other answer than yes, or none."""
    print(f"declare {plural(count, 'field')} of {policy} so? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in {"y", "yes"}:
        raise ConfigError("not confirmed: nothing was changed (--yes does not ask)")


def _write(cluster: Cluster, policy: Body, patch: Body) -> None:
    """Write over exactly the spec that was shown. Raises Conflict where it was changed meanwhile."""
    shown, current = _identity(policy), policy
    for _ in range(ATTEMPTS):
        try:
            cluster.change_spec(current, patch)
        except Conflict:
            current = cluster.policy(name(policy))
            if _identity(current) != shown:
                message = f"the spec of {name(policy)} was changed meanwhile: nothing was written; look at it again"
                raise Conflict(message, retryable=True) from None
        else:
            return
    raise Conflict(f"{name(policy)} keeps changing: nothing was written; try again", retryable=True)


def _identity(policy: Body) -> tuple[object, object]:
    return at(policy, "metadata", "uid"), at(policy, "metadata", "generation")
