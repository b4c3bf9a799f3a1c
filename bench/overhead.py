"""What is added around the statement: microseconds of CPU for one request of W1, in one process, no network.

Two things are run by turns, so often each: the whole application, called as a server would call it, and a
read session that runs the very statement which the application ran for the request. The difference is all
around the statement: HTTP's form, the key, the document, its arguments, the answer and the log line.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from starlette.types import ASGIApp

from bench.calling import Call, call, measurements, spent
from bench.statements import Values, noted
from bench.workloads import WORKLOADS, DataSet
from db.statements import Query
from server import create_app
from settings import Settings

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds of CPU for one request, and for its statement alone: the least of some rounds."""

    request_us: float
    statement_us: float

    @property
    def overhead_us(self) -> float:
        return self.request_us - self.statement_us


async def overhead(url: str, data: DataSet, calls: int) -> Overhead:
    """Measure on a migrated database that holds the data."""
    app = create_app(Settings(database_url=url))
    database = app.state.database
    asked = cycle(_calls(data))
    try:
        ran = await _statements_of(app, next(asked))
        query, values = ran[-1]  # before it, the key is looked up

        async def request() -> None:
            await _answered(app, next(asked))

        async def statement() -> None:
            async with database.read() as session:
                await session.rows(query, values)

        rounds = [(await spent(request, calls), await spent(statement, calls)) for _ in range(_ROUNDS)]
    finally:
        await database.close()
    return Overhead(*(min(times) for times in zip(*rounds, strict=True)))


async def _statements_of(app: ASGIApp, made: Call) -> list[tuple[Query, Values]]:
    """What a request runs. It is asked before, so that caches are as they are later."""
    await _answered(app, made)
    with noted() as ran:
        await _answered(app, made)
    return ran


def _calls(data: DataSet) -> list[Call]:
    """Requests of W1."""
    workload = WORKLOADS["W1"]
    return [
        call(
            "POST",
            "/graphql",
            token=data.token,
            body=json.dumps({"query": workload.document, "variables": variables}).encode(),
        )
        for variables in workload.variables(data, "")
    ]


async def _answered(app: ASGIApp, made: Call) -> None:
    answer = await made.answer(app)
    assert b'"licenses"' in answer, answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    for here in measurements("python -m bench.overhead", __doc__, arguments):
        found = here.runner.run(overhead(here.store.url, here.store.data, here.calls))
        print(
            f"{here.store.name}: a request {found.request_us:.0f} µs of CPU, its statement"
            f" {found.statement_us:.0f} µs, all around it {found.overhead_us:.0f} µs",
            flush=True,
        )


if __name__ == "__main__":
    main()
