"""Responses as outcomes: what is stored of a response to a request that was sent with an idempotency key."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from asgi.idempotency import REPLAYED
from db import ids
from resolvers.idempotency import Outcome
from resolvers.inputs import Input


def written(response: Response) -> Outcome:
    """Return a response as an outcome: its status, its headers and its body, which is text."""
    body = bytes(response.body)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
    json = orjson.dumps({"status": response.status_code, "headers": headers, "body": body.decode()})
    return Outcome(json, _customer_of(body))


def response_of(outcome: Outcome) -> Response:
    """Return the response that an outcome has."""
    stored = orjson.loads(outcome.json)
    response = Response(stored["body"], stored["status"])
    response.raw_headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in stored["headers"]
    ]
    if outcome.is_replay:
        response.raw_headers.append(REPLAYED)
    return response


def known_to(model: type[Input] | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a model of a query or a body has. It ignores all others."""
    if model is None:
        return {}
    names = {info.alias or name for name, info in model.model_fields.items()}
    return {name: value for name, value in values.items() if name in names}


def _customer_of(body: bytes) -> str | None:
    """Return the id of the customer that a response is about, or None."""
    data = orjson.loads(body)["data"] if body else {}
    id = data.get("id", "")
    found: str | None = id if ids.prefix_of(id) == ids.CUSTOMER else data.get("customer_id")
    return found
