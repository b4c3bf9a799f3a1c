"""Checks that contestants return the same results. Only then is it useful to compare their speed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.contestants import Running
from bench.load import Request, ask
from bench.workloads import UNIQUE, Workload

_LOOKED_AT = 3


class AnswersDiffer(Exception):
    """Two contestants return different results. The message says where."""


def require_same(workload: Workload, asked: Sequence[tuple[Running, Sequence[Request]]]) -> None:
    """Raise AnswersDiffer if contestants return different results for a workload.

    Raise BadAnswer if a contestant returns an error.
    """
    (first, requests), *others = asked
    expected = _answers(workload, first, requests)
    for running, same in others:
        difference = first_difference(expected, _answers(workload, running, same), path="answers")
        if difference is not None:
            names = f"{first.name} and {running.name}"
            raise AnswersDiffer(f"{workload.name}: {names} return different results at {difference}")


def _answers(workload: Workload, running: Running, requests: Sequence[Request]) -> list[Any]:
    """Return a contestant's results for the first few requests, without the parts that may differ."""
    found = []
    for place, request in enumerate(requests[:_LOOKED_AT]):
        # Contestants may share a database, so each contestant gets its own emails for new customers.
        body = request.body.replace(UNIQUE, f"{running.port:05}{place:05}")
        answer = ask(running.port, replace(request, body=body))
        found.append(workload.held(answer["data"] if request.path == "/graphql" else answer))
    return found


def first_difference(ours: Any, theirs: Any, path: str = "data") -> str | None:
    """Return the place where two results differ, with both values, or None if the results are the same.

    Cursors are opaque, so it is enough that both results have one. `hasPreviousPage` may differ when paging
    forward, because Relay's specification does not require it.
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
