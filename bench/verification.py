"""Compares the CPU of verifying a license with the CPU of reading a customer by id.

The requests alternate in one process, without a network, through GraphQL and through REST. Only the ratio
matters.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle

from sqlalchemy import select
from starlette.types import ASGIApp

from bench.calling import Call, call, measurements, spent
from bench.contestants import HIGH_LIMITS
from bench.workloads import SLUG, DataSet
from db.apps import apps
from db.engine import Database
from db.licenses import licenses
from server import create_app
from settings import Settings

_ROUNDS = 5

_VERIFY = """query ($app: String!, $id: UUID!) { verifyLicense(appSlug: $app, by: {installationId: $id}) {
  valid reason since status installationId tier features expiresAt } }"""
_CUSTOMER = "query ($id: ID!) { customer(id: $id) { id email name externalId metadata createdAt } }"


async def _call_next(app: ASGIApp, asked: Iterator[Call]) -> bytes:
    answer = await next(asked).answer(app)
    assert answer.startswith(b'{"data":{'), answer
    return answer


async def costs(url: str, data: DataSet, calls: int) -> Mapping[str, float]:
    """Return the CPU of each kind of request in microseconds: the minimum over several rounds."""
    app = create_app(Settings(database_url=url, **HIGH_LIMITS))
    database = app.state.database
    try:
        kinds = {name: cycle(asked) for name, asked in _asked(data, await _installations(database)).items()}
        calls_of = {name: partial(_call_next, app, asked) for name, asked in kinds.items()}
        for call in calls_of.values():
            answer = await call()
            assert b'"error' not in answer, answer
        rounds = [{name: await spent(call, calls) for name, call in calls_of.items()} for _ in range(_ROUNDS)]
    finally:
        await database.close()
    return {name: min(round[name] for round in rounds) for name in kinds}


async def _installations(database: Database) -> Sequence[str]:
    of_app = select(licenses.c.installation_id).join(apps, apps.c.id == licenses.c.app_id)
    async with database.read() as session:
        return [id for (id,) in await session.rows(of_app.where(apps.c.slug == SLUG).limit(1_000), {})]


def _asked(data: DataSet, installations: Sequence[str]) -> Mapping[str, Sequence[Call]]:
    rest = f"/api/v1/apps/{SLUG}"
    return {
        "REST verify": [call("GET", f"{rest}/licenses/verify?installation_id={id}") for id in installations],
        "REST customer": [
            call("GET", f"{rest}/customers/{id}", token=data.token) for id in data.customer_ids
        ],
        "GraphQL verify": [_graphql(_VERIFY, {"app": SLUG, "id": id}, None) for id in installations],
        "GraphQL customer": [_graphql(_CUSTOMER, {"id": id}, data.token) for id in data.customer_ids],
    }


def _graphql(document: str, variables: Mapping[str, str], token: str | None) -> Call:
    body = json.dumps({"query": document, "variables": variables}).encode()
    return call("POST", "/graphql", token=token, body=body)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on each database, and print the results."""
    for here in measurements("python -m bench.verification", __doc__, arguments):
        found = here.runner.run(costs(here.store.url, here.store.data, here.calls))
        for api in ("REST", "GraphQL"):
            verify, customer = found[f"{api} verify"], found[f"{api} customer"]
            print(
                f"{here.store.name}, {api}: verify {verify:.0f} µs of CPU, customer by id {customer:.0f} µs:"
                f" {verify / customer:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
