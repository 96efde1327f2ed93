"""Carries out a plan on plain dictionaries and says what is wrong with it. Shares no code with the planner.

It is told the same JSON document that the command reads, and the moves that the command printed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of the moves: complaints (none is right), the document afterwards, loads by node before and after."""

    complaints: list[str]
    after: Document
    loads_before: dict[Any, float]
    loads_after: dict[Any, float]
    moved_bytes: int


def replay(document: Document, moves: list[Document]) -> Replay:
    """Make the moves one after the other."""
    nodes = {node["id"]: node for node in document["nodes"]}
    limits = document.get("limits", {})
    ratio = limits.get("memory_ceiling_ratio", 0.9)
    segments = [dict(segment) for segment in document["segments"]]
    held: dict[tuple[Any, Any], dict[str, Any]] = {(one["id"], one["node"]): one for one in segments}
    flying = _arrived(document, held)
    memory: dict[Any, int] = defaultdict(int)
    for one in segments:
        memory[one["node"]] += one["memory_bytes"]
    ceiling = {name: node["memory_bytes"] * ratio for name, node in nodes.items()}
    over = {name for name in nodes if memory[name] > ceiling[name]}
    before = loads({**document, "segments": segments})
    touched: dict[Any, int] = defaultdict(int)
    complaints: list[str] = []
    moved_bytes = 0
    for number, move in enumerate(moves):
        source, destination = move["source"], move["destination"]
        one_or_none = held.pop((move["segment"], source), None)
        if one_or_none is None:
            complaints.append(f"move {number}: {move['segment']} is not on {source}")
            continue
        one = one_or_none
        wrong = _wrong(document, nodes, one, source, destination)
        if (one["id"], source) in flying:
            wrong.append("in flight")
        if destination in over:
            wrong.append("the destination was above its ceiling at the start")
        if (one["id"], destination) in held:
            wrong.append("the destination has a copy")
        memory[destination] += one["memory_bytes"]
        if memory[destination] > ceiling.get(destination, 0):
            wrong.append("memory of the destination")
        memory[source] -= one["memory_bytes"]
        one["node"] = destination
        held[one["id"], destination] = one
        moved_bytes += one["memory_bytes"]
        for end in (source, destination):
            touched[end] += 1
        complaints += [f"move {number}: {what}" for what in wrong]
    complaints += _limits(limits, len(moves), touched)
    after = {**document, "segments": segments, "in_flight": []}
    return Replay(complaints, after, before, loads(after), moved_bytes)


def _arrived(document: Document, held: dict[tuple[Any, Any], Document]) -> set[tuple[Any, Any]]:
    """Let what is in flight arrive; the segments that did, with where they are."""
    flying = set()
    for flight in document.get("in_flight", []):
        one = held.pop((flight["segment"], flight["source"]), None)
        if one is not None:
            one["node"] = flight["destination"]
            held[flight["segment"], flight["destination"]] = one
        flying.add((flight["segment"], flight["destination"]))
    return flying


def loads(document: Document) -> dict[Any, float]:
    """Load of each node: heat over cpu, and its leaders' fixed load."""
    heat: dict[Any, list[float]] = {node["id"]: [] for node in document["nodes"]}
    for segment in document["segments"]:
        heat[segment["node"]].append(segment["heat"])
    fixed: dict[Any, float] = defaultdict(float)
    for leader in document.get("leaders", []):
        fixed[leader["node"]] += leader["load"]
    return {node["id"]: math.fsum(heat[node["id"]]) / node["cpu"] + fixed[node["id"]] for node in document["nodes"]}


def _wrong(document: Document, nodes: dict[Any, Any], one: Document, source: Any, destination: Any) -> list[str]:
    if destination not in nodes:
        return ["unknown destination"]
    wrong = []
    if source == destination:
        wrong.append("goes nowhere")
    if nodes[destination].get("cordoned"):
        wrong.append("the destination is cordoned")
    if one.get("pinned"):
        wrong.append("pinned")
    groups = [nodes[end].get("resource_group", "__default_resource_group") for end in (source, destination)]
    if groups[0] != groups[1]:
        wrong.append("crosses resource groups")
    if not document.get("replicas"):
        if nodes[source].get("replica") != nodes[destination].get("replica"):
            wrong.append("leaves its replica")
    elif not any(
        source in replica["nodes"] and destination in replica["nodes"]
        for replica in document["replicas"]
        if replica["collection"] == one["collection"] and one.get("replica") in {None, replica["id"]}
    ):
        wrong.append("leaves its replica")
    return wrong


def _limits(limits: Document, count: int, touched: dict[Any, int]) -> list[str]:
    complaints = []
    most, most_of_node = limits.get("max_moves"), limits.get("max_moves_per_node")
    if most is not None and count > most:
        complaints.append(f"{count} moves are more than {most}")
    if most_of_node is not None:
        complaints += [
            f"node {name}: {n} moves are more than {most_of_node}" for name, n in touched.items() if n > most_of_node
        ]
    return complaints
