"""How many QueryNodes there should be.

Out, when a signal has been above its threshold for its whole window:

    wanted = ceil(count x ratio / target)    capacity: the fullest node; computation: the mean over the nodes

Example: 2 QueryNodes, mean computation 0.90 for 120 s, threshold 0.60, target 0.50: wanted ceil(2 x 0.90 / 0.50) = 4,
a maxStep of 1 makes it 3. A ratio of measured to target within the tolerance changes nothing. Memory at its limit waits
for no window: the next load would kill the node.

Skew before size: where only the busiest node is above the threshold and the mean is not, another node would be paid
for an imbalance; that is `SkewNotCapacity` and no node. Capacity has no such test: a full node dies whatever the others
hold.

In, by one node, when both signals have been below for their windows; `scale_in` has the checks.

A manual override comes before all of this until it expires: its count is the size, whatever the signals and the bounds
say. Up goes in one plan; down goes by one node at a time with every check of a scale-in.

The rules are tried in order; the first that has an answer gives it. Corrections of the bounds and an override wait for
no window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from milvus_tuning.decide.load import skew_ratio
from milvus_tuning.decide.size.answers import nothing, refused, rest
from milvus_tuning.decide.size.context import Context
from milvus_tuning.decide.size.pressure import Pressure, above, below, pressures
from milvus_tuning.decide.size.scale_in import Removal, find_removal
from milvus_tuning.decide.size.steps import scale_in_steps, scale_out_steps
from milvus_tuning.decide.windows import held
from milvus_tuning.decide.words import listed, percent, seconds
from milvus_tuning.plan import Decision, Reason, Rejection
from milvus_tuning.snapshot import ProblemKind

Rule = Callable[[Context], Decision | None]


def decide_size(context: Context) -> Decision:
    """The decision on the number of QueryNodes: the answer of the first rule that has one."""
    rules: tuple[Rule, ...] = (
        _override,
        _below_minimum,
        _above_maximum,
        _scale_out,
        _skew,
        _wait_to_grow,
        _without_numbers,
        _scale_in,
    )
    answers = (rule(context) for rule in rules)
    return next((answer for answer in answers if answer is not None), None) or _steady(context)


def _override(context: Context) -> Decision | None:
    """The size that was set by hand; the rest after the last operation holds for it too."""
    override = context.rules.override
    if override is None or context.now >= datetime.fromisoformat(override.expires_at.upper()):
        return None
    before, wanted = context.count, override.count
    message = f"override.count is {wanted} until {override.expires_at}"
    if before == wanted:
        return nothing(context, Reason.MANUAL_OVERRIDE, f"{message}: there are {before} QueryNodes")
    if before > wanted:
        return _without_numbers(context) or _shrink(context, reason=Reason.MANUAL_OVERRIDE, why=message)
    return rest(context, wanted, context.rules.scale_out.cooldown_seconds, message) or Decision(
        reason=Reason.MANUAL_OVERRIDE,
        message=f"{message}: {before} -> {wanted} QueryNodes",
        steps=scale_out_steps(context.rules, before=before, after=wanted),
        inputs=context.inputs(),
        rejected=(Rejection(alternative="NoChange", reason=Reason.MANUAL_OVERRIDE, message=message),),
        desired_count=wanted,
    )


def _below_minimum(context: Context) -> Decision | None:
    least = context.rules.min_count
    if context.count >= least:
        return None
    message = f"{context.count} QueryNodes are fewer than minCount {least}"
    return rest(context, least, context.rules.scale_out.cooldown_seconds, message) or Decision(
        reason=Reason.BELOW_MINIMUM,
        message=f"{message}: {context.count} -> {least}",
        steps=scale_out_steps(context.rules, before=context.count, after=least),
        inputs=context.inputs(),
        rejected=(Rejection(alternative="NoChange", reason=Reason.BELOW_MINIMUM, message=message),),
        desired_count=least,
    )


def _above_maximum(context: Context) -> Decision | None:
    most = context.rules.max_count
    if context.count <= most:
        return None
    message = f"{context.count} QueryNodes are more than maxCount {most}"
    return _without_numbers(context) or _shrink(context, reason=Reason.ABOVE_MAXIMUM, why=message)


def _scale_out(context: Context) -> Decision | None:
    """Grow for the signals that have been above their thresholds for their windows."""
    calling = [pressure for pressure in pressures(context) if pressure.calls_for_nodes]
    if not calling:
        return None
    count, tolerance = context.count, context.rules.tolerance_percent
    serious = [pressure for pressure in calling if pressure.urgent or not pressure.is_near_target(tolerance)]
    if not serious:
        targets = " and ".join(
            f"{one.name} {percent(one.ratio)}, target {percent(one.target_ratio)}" for one in calling
        )
        return nothing(context, Reason.WITHIN_TOLERANCE, f"within the tolerance of {tolerance} %: {targets}")
    leading = max(serious, key=lambda pressure: pressure.wanted_count(count))
    return _grow(context, leading, wanted=max(leading.wanted_count(count), count + 1))


def _grow(context: Context, pressure: Pressure, *, wanted: int) -> Decision:
    before, why = context.count, f"{pressure}{_skew_note(context)}"
    after = _allowed_count(context, wanted)
    if after <= before:
        return _cannot_grow(context, why, wanted=wanted)
    limited = _limit(context, after=after, wanted=wanted)
    message = f"{why}: {before} -> {after} QueryNodes, {wanted} wanted for a target of {percent(pressure.target_ratio)}"
    rejected = (Rejection(alternative="NoChange", reason=pressure.reason, message=why),)
    return rest(context, after, context.rules.scale_out.cooldown_seconds, why) or Decision(
        reason=pressure.reason,
        message=message,
        steps=scale_out_steps(context.rules, before=before, after=after),
        inputs=context.inputs(),
        rejected=(*rejected, *_shortened(context, limited, wanted)),
        desired_count=after,
        limited=limited,
    )


def _allowed_count(context: Context, wanted: int) -> int:
    """The wanted count within maxStep, maxCount and the multiple of the in-memory replicas."""
    multiple = context.node_multiple
    highest = min(context.count + context.rules.scale_out.max_step, context.rules.max_count)
    rounded = math.ceil(min(wanted, highest) / multiple) * multiple
    return rounded if rounded <= highest else highest // multiple * multiple


def _cannot_grow(context: Context, why: str, *, wanted: int) -> Decision:
    rules, before = context.rules, context.count
    if before >= rules.max_count:
        message = f"{why}: {wanted} QueryNodes wanted, maxCount is {rules.max_count}"
        return refused(context, Reason.AT_MAXIMUM, message, f"ScaleOut {before} -> {wanted}", Reason.AT_MAXIMUM)
    message = (
        f"{why}: {wanted} QueryNodes wanted; the number must be a multiple of the {context.node_multiple} in-memory "
        f"replicas, and maxStep {rules.scale_out.max_step} and maxCount {rules.max_count} leave no such number above "
        f"{before}"
    )
    return refused(context, Reason.REPLICA_MULTIPLE, message, f"ScaleOut {before} -> {wanted}")


def _limit(context: Context, *, after: int, wanted: int) -> Reason | None:
    if after >= wanted:
        return None
    return Reason.AT_MAXIMUM if after == context.rules.max_count else Reason.STEP_LIMITED


def _shortened(context: Context, limited: Reason | None, wanted: int) -> tuple[Rejection, ...]:
    if limited is None:
        return ()
    message = f"maxStep {context.rules.scale_out.max_step}, maxCount {context.rules.max_count}"
    return (Rejection(alternative=f"ScaleOut {context.count} -> {wanted}", reason=limited, message=message),)


def _skew_note(context: Context) -> str:
    busiest = context.load.busiest()
    if not context.skewed or busiest is None:
        return ""
    return f"; skewed as well: {busiest.pod} is {percent(skew_ratio(context.signal))} above the mean"


def _skew(context: Context) -> Decision | None:
    """Only the busiest node is above the threshold, by more than the bound: no node is the cure for that."""
    signal, rules = context.signal, context.rules.scale_out
    threshold, even, busiest = (
        rules.computation_above_percent / 100,
        signal.even_computation_ratio,
        context.load.busiest(),
    )
    if not context.skewed or even is None or even > threshold or signal.computation_coverage < 1 or busiest is None:
        return None
    lasting = held(context.signals, lambda one: above(one.computation_ratio, one.computation_coverage, threshold))
    if not lasting.now:
        return None
    message = (
        f"computation {percent(signal.computation_ratio)} on {busiest.pod} is above {percent(threshold)}, but the mean "
        f"of {context.count} QueryNodes is {percent(even)}: a skew of {percent(skew_ratio(signal))} "
        f"(bound {context.imbalance_percent} %)"
    )
    if not lasting.covers(rules.computation_window_seconds):
        note = f"{message}, for {seconds(lasting.seconds)} of {rules.computation_window_seconds} s"
        return nothing(context, Reason.STABILIZING, note)
    alternative = f"ScaleOut {context.count} -> {context.count + 1}"
    note = f"{message}: another QueryNode would be paid for an imbalance"
    return refused(context, Reason.SKEW_NOT_CAPACITY, note, alternative)


def _wait_to_grow(context: Context) -> Decision | None:
    waiting = [pressure for pressure in pressures(context) if pressure.held.now]
    if not waiting:
        return None
    return nothing(context, Reason.STABILIZING, " and ".join(str(pressure) for pressure in waiting))


def _without_numbers(context: Context) -> Decision | None:
    """Nothing calls for more nodes as far as can be seen; without all numbers nothing is taken away."""
    load = context.load
    if load.complete:
        return None
    only_stale = bool(load.gaps) and all(gap.stale for gap in load.gaps)
    problem = context.snapshot.problem(ProblemKind.METRICS_MISSING)
    missing = problem.message if problem else listed(map(str, load.gaps)) or "no QueryNode is measured"
    message = f"no QueryNode is taken away while numbers are missing: {missing}"
    reason = Reason.METRICS_STALE if only_stale else Reason.METRICS_MISSING
    return refused(context, reason, message, f"ScaleIn {context.count} -> {context.count - 1}")


def _scale_in(context: Context) -> Decision | None:
    rules, signal, count = context.rules.scale_in, context.signal, context.count
    capacity_below, computation_below = rules.capacity_below_percent / 100, rules.computation_below_percent / 100
    capacity = held(context.signals, lambda one: below(one.capacity_ratio, one.capacity_coverage, capacity_below))
    computation = held(
        context.signals, lambda one: below(one.computation_ratio, one.computation_coverage, computation_below)
    )
    if not (capacity.now and computation.now):
        return None
    why = (
        f"capacity {percent(signal.capacity_ratio)} below {percent(capacity_below)} for {seconds(capacity.seconds)} "
        f"(window {rules.capacity_window_seconds} s) and computation {percent(signal.computation_ratio)} below "
        f"{percent(computation_below)} for {seconds(computation.seconds)} (window {rules.computation_window_seconds} s)"
    )
    if count <= context.rules.min_count:
        message = f"{why}: {count} QueryNodes are minCount {context.rules.min_count}"
        alternative = f"ScaleIn {count} -> {count - 1}"
        return refused(context, Reason.AT_MINIMUM, message, alternative, Reason.AT_MINIMUM)
    if not (capacity.covers(rules.capacity_window_seconds) and computation.covers(rules.computation_window_seconds)):
        return nothing(context, Reason.STABILIZING, why)
    return _shrink(context, reason=Reason.SCALE_IN, why=why)


def _shrink(context: Context, *, reason: Reason, why: str) -> Decision:
    """One QueryNode fewer, if the checks of the scale-in allow it.

    On the way to a size that the user set, the multiple of the in-memory replicas is not asked for: nodes leave one at
    a time, so no such size could be reached. Nothing is at stake but evenness: that each replica keeps a node, and that
    the others take and carry what leaves, is checked all the same.
    """
    before, after = context.count, context.count - 1
    resting = rest(context, after, context.rules.scale_in.cooldown_seconds, why)
    if resting is not None:
        return resting
    found = find_removal(context, keep_multiple=reason is Reason.SCALE_IN)
    limited = Reason.AT_MAXIMUM if reason is Reason.ABOVE_MAXIMUM else None
    if not isinstance(found, Removal):
        first = found[0]
        message = f"{why}, but {first.message}"
        return Decision(
            reason=first.reason,
            message=message,
            inputs=context.inputs(),
            rejected=found,
            desired_count=before,
            limited=limited,
        )
    return Decision(
        reason=reason,
        message=f"{why}: {before} -> {after} QueryNodes, {found}",
        steps=scale_in_steps(context.rules, context.snapshot, found.victim, moved_rows=found.moved_rows),
        inputs={**context.inputs(), **found.inputs()},
        rejected=(Rejection(alternative="NoChange", reason=reason, message=why), *found.rejected),
        desired_count=after,
        limited=limited,
    )


def _steady(context: Context) -> Decision:
    signal, out, into = context.signal, context.rules.scale_out, context.rules.scale_in
    capacity = f"capacity {percent(signal.capacity_ratio)}"
    computation = f"computation {percent(signal.computation_ratio)} (mean {percent(signal.even_computation_ratio)})"
    both = f"{capacity} and {computation}"
    grow = f"{both} are not above {out.capacity_above_percent} % and {out.computation_above_percent} %"
    shrink = f"{both} are not both below {into.capacity_below_percent} % and {into.computation_below_percent} %"
    return Decision(
        reason=Reason.STEADY,
        message=f"{capacity} and {computation} with {context.count} QueryNodes call for no change",
        inputs=context.inputs(),
        rejected=(
            Rejection(
                alternative=f"ScaleOut {context.count} -> {context.count + 1}", reason=Reason.STEADY, message=grow
            ),
            Rejection(
                alternative=f"ScaleIn {context.count} -> {context.count - 1}", reason=Reason.STEADY, message=shrink
            ),
        ),
        desired_count=context.count,
    )
