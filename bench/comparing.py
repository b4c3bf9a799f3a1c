"""Whether contestants answer alike. What does not answer alike is not compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.contestants import Running
from bench.load import Request, ask
from bench.workloads import UNIQUE, Workload

_LOOKED_AT = 3


class AnswersDiffer(Exception):
    """Two contestants do not answer alike. The message says where."""


def require_same(workload: Workload, asked: Sequence[tuple[Running, Sequence[Request]]]) -> None:
    """Raise AnswersDiffer unless all answer the first few requests of a workload alike; or BadAnswer."""
    (first, requests), *others = asked
    expected = _answers(workload, first, requests)
    for running, same in others:
        difference = first_difference(expected, _answers(workload, running, same), path="answers")
        if difference is not None:
            names = f"{first.name} and {running.name}"
            raise AnswersDiffer(f"{workload.name}: {names} answer differently at {difference}")


def _answers(workload: Workload, running: Running, requests: Sequence[Request]) -> list[Any]:
    """What a contestant answers to the first few requests, as far as all must agree on it."""
    found = []
    for place, request in enumerate(requests[:_LOOKED_AT]):
        # Several contestants share a database: what is to be new must be so for each of them.
        body = request.body.replace(UNIQUE, f"{running.port:05}{place:05}")
        answer = ask(running.port, replace(request, body=body))
        found.append(workload.held(answer["data"] if request.path == "/graphql" else answer))
    return found


def first_difference(ours: Any, theirs: Any, path: str = "data") -> str | None:
    """Where two answers differ, with both values; None: nowhere.

    A cursor is opaque, and each contestant's own: what must agree is whether there is one. And who pages
    forward need not know whether there is a page before (Relay's specification leaves it open).
    """
    if isinstance(ours, dict) and isinstance(theirs, dict) and list(ours) == list(theirs):
        pairs = [(f"{path}.{key}", ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(f"{path}[{place}]", *both) for place, both in enumerate(zip(ours, theirs, strict=True))]
    elif (path.endswith("Cursor") and isinstance(ours, str) and isinstance(theirs, str)) or (
        path.endswith(".hasPreviousPage") and isinstance(ours, bool) and isinstance(theirs, bool)
    ):
        return None
    else:
        own, other = json.dumps(ours), json.dumps(theirs)
        return None if own == other else f"{path}: {own:.200} and {other:.200}"
    differences = (first_difference(own, other, place) for place, own, other in pairs)
    return next((found for found in differences if found is not None), None)
