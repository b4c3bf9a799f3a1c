"""Measures the overhead around the SQL statement: microseconds of CPU per W1 request, without a network.

Calls of two kinds alternate in one process: a call of the whole application, as a server would call it, and a
read session that only runs the statement of the same request. The difference is the overhead: HTTP, the check
of the key, the document and its arguments, the response, and the log line.

Three more kinds of calls are measured. The same request from a page of another origin, and its preflight,
show the cost of CORS. The same request with the id of its document, instead of the text, shows the cost of a
registered document.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from starlette.types import ASGIApp

from bench.calling import Call, call, measurements, spent
from bench.contestants import HIGH_LIMITS
from bench.statements import Values, noted
from bench.workloads import WORKLOADS, DataSet
from db.statements import Query
from server import create_app
from settings import Settings

_ROUNDS = 5
_ORIGIN = "https://portal.example"
_REGISTER = """
    mutation ($text: String!) {
      registerDocuments(input: {set: "bench", documents: [{text: $text}]}) { userErrors { message } }
    }
"""
_PREFLIGHT = call(
    "OPTIONS",
    "/graphql",
    headers=[  # as Chromium sends them
        (b"connection", b"keep-alive"),
        (b"accept", b"*/*"),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"authorization,content-type"),
        (b"origin", _ORIGIN.encode()),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
        (b"sec-fetch-mode", b"cors"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-dest", b"empty"),
        (b"accept-encoding", b"gzip, deflate, br, zstd"),
        (b"accept-language", b"en-US,en;q=0.9"),
    ],
)


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds of CPU per call: the minimum over all rounds.

    The calls are a whole request, only its statement, the same request with an origin, its preflight, and the
    same request by the id of its document.
    """

    request_us: float
    statement_us: float
    request_with_origin_us: float
    preflight_us: float
    request_by_id_us: float

    @property
    def overhead_us(self) -> float:
        return self.request_us - self.statement_us


async def overhead(url: str, data: DataSet, calls: int) -> Overhead:
    """Measure the overhead on a migrated database that holds the data."""
    app = create_app(Settings(database_url=url, cors_origins=_ORIGIN, **HIGH_LIMITS))
    database = app.state.database
    document = WORKLOADS["W1"].document
    asked, from_a_page, by_id = (
        cycle(_calls(data, {"query": document})),
        cycle(_calls(data, {"query": document}, (b"origin", _ORIGIN.encode()))),
        cycle(_calls(data, {"documentId": hashlib.sha256(str(document).encode()).hexdigest()})),
    )
    try:
        registering = {"query": _REGISTER, "variables": {"text": document}}
        await _answered(app, _post(data, registering), b'"userErrors":[]')
        ran = await _statements_of(app, next(asked))
        query, values = ran[-1]  # the last statement, because earlier statements look up the key

        async def request() -> None:
            await _answered(app, next(asked))

        async def statement() -> None:
            async with database.read() as session:
                await session.rows(query, values)

        async def request_with_origin() -> None:
            await _answered(app, next(from_a_page))

        async def preflight() -> None:
            await _PREFLIGHT.answer(app)

        async def request_by_id() -> None:
            await _answered(app, next(by_id))

        kinds = (request, statement, request_with_origin, preflight, request_by_id)
        rounds = [[await spent(kind, calls) for kind in kinds] for _ in range(_ROUNDS)]
    finally:
        await database.close()
    return Overhead(*(min(times) for times in zip(*rounds, strict=True)))


async def _statements_of(app: ASGIApp, made: Call) -> list[tuple[Query, Values]]:
    """Return the statements that a request runs.

    The request is sent once before it is recorded, so that caches are in the same state as during the
    measurement.
    """
    await _answered(app, made)
    with noted() as ran:
        await _answered(app, made)
    return ran


def _calls(data: DataSet, document: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> list[Call]:
    """Return the requests of W1. `document` is the part of the body that has the document or its id."""
    return [
        _post(data, {**document, "variables": variables}, *headers)
        for variables in WORKLOADS["W1"].variables(data, "")
    ]


def _post(data: DataSet, body: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> Call:
    return call("POST", "/graphql", token=data.token, headers=headers, body=json.dumps(body).encode())


async def _answered(app: ASGIApp, made: Call, expected: bytes = b'"licenses"') -> None:
    answer = await made.answer(app)
    assert expected in answer, answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on each database, and print the results."""
    for here in measurements("python -m bench.overhead", __doc__, arguments):
        found = here.runner.run(overhead(here.store.url, here.store.data, here.calls))
        print(
            f"{here.store.name}: a request {found.request_us:.0f} µs of CPU, its statement"
            f" {found.statement_us:.0f} µs, all around it {found.overhead_us:.0f} µs;"
            f" from a page of another origin {found.request_with_origin_us:.0f} µs, its preflight"
            f" {found.preflight_us:.0f} µs; by the id of its document {found.request_by_id_us:.0f} µs",
            flush=True,
        )


if __name__ == "__main__":
    main()
