"""What a snapshot shows of a collection's default consistency level, which a SetCollectionProperty step changes."""

from __future__ import annotations

from milvus_tuning.decide.seen.sight import Effect, Sight, View
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import Collection, ProblemKind, Snapshot


def look_at_level(step: Step, snapshot: Snapshot) -> View:
    """The level as Milvus tells it. Without etcd nothing is known: the former level could not be recorded."""
    found = _level(step, snapshot)
    if isinstance(found, View):
        return found
    name, before = f"{step.action.get('database')}.{step.action.get('collection')}", step.precondition.get("value")
    message = f"the consistency level of {name} is {found}"
    if found == step.action.get("value"):
        return View(sight=Sight.AFTER, message=message)
    if found == before:
        return View(sight=Sight.BEFORE, message=message)
    return View(sight=Sight.FOREIGN, message=f"{message}, not {before}: somebody else changed it")


def level_effect(step: Step, snapshot: Snapshot) -> Effect:
    """Whether Milvus tells the level that is to be there: the written one, or one of others that stays."""
    view, found = look_at_level(step, snapshot), _level(step, snapshot)
    return Effect(reached=found == step.verification.get("value"), message=view.message)


def named(snapshot: Snapshot, database: str, name: str) -> Collection | None:
    """The loaded collection of this name, or None."""
    return next((one for one in snapshot.collections if (one.database, one.name) == (database, name)), None)


def milvus_trouble(snapshot: Snapshot) -> str | None:
    """Why it is not known which collections are loaded, in words, or None."""
    problem = snapshot.problem(ProblemKind.MILVUS_UNREACHABLE, ProblemKind.MILVUS_CREDENTIALS_REJECTED)
    if problem is not None:
        return problem.message
    return "Milvus cannot be read" if snapshot.milvus_version is None else None


def _level(step: Step, snapshot: Snapshot) -> str | View:
    """The level, or what is seen instead."""
    trouble = milvus_trouble(snapshot)
    if trouble is None and not snapshot.settings_readable:
        trouble = "Milvus's etcd cannot be read, where the former level is recorded"
    if trouble is not None:
        return View(sight=Sight.UNKNOWN, message=trouble)
    database, name = str(step.action.get("database")), str(step.action.get("collection"))
    found = named(snapshot, database, name)
    if found is None:
        return View(sight=Sight.FOREIGN, message=f"{database}.{name} is not loaded any more")
    if found.consistency_level is None:
        return View(sight=Sight.UNKNOWN, message=f"the consistency level of {database}.{name} was not read")
    return found.consistency_level
