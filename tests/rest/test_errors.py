"""Errors: all causes produce the same envelope, each with its own code."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
import structlog

from asgi.authentication import Authentication
from asgi.refusals import HttpRefusal
from db.engine import Database, StoreUnavailable
from resolvers import apps
from resolvers.errors import (
    NO_KEY,
    BadUserInput,
    Busy,
    Fault,
    FaultCode,
    Faults,
    Forbidden,
    InProgress,
    KeyReused,
    RateLimited,
    Refused,
    Unauthenticated,
)
from resolvers.viewer import Policy
from rest import operations
from rest.app import rest_app
from rest.errors import STATUSES, Code, problem_of
from rest.routes import OPERATIONS
from tests.factories import make_customer
from tests.keyrings import KEYRING, SETTINGS
from tests.rest.conftest import SLUG, Vendor
from tests.rest.expecting import error

CUSTOMERS = f"/api/v1/apps/{SLUG}/customers"


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "batch_limit_per_minute": 1}


async def test_every_error_has_the_same_shape_and_its_own_code(
    client: httpx.AsyncClient, vendor: Vendor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_customer(database, vendor.app, email="jane@example.com")
    secret = {"Authorization": f"Bearer {vendor.secret}"}
    public = {"Authorization": f"Bearer {vendor.public}"}
    json = {"Content-Type": "application/json"}

    def failing(cause: Exception) -> Callable[..., Any]:
        async def fail(*_: object) -> None:
            raise cause

        return fail

    walked = {
        "no key": await client.get("/api/v1/apps"),
        "a bad key": await client.get("/api/v1/apps", headers={"Authorization": "Bearer x"}),
        "a key that may not": await client.post("/api/v1/apps", headers=public, json={}),
        "an unknown path": await client.get("/nothing"),
        "an unknown app": await client.get("/api/v1/apps/nothing", headers=secret),
        "an unknown customer": await client.get(f"{CUSTOMERS}/cus_1", headers=secret),
        "another method": await client.delete("/api/v1/apps"),
        "not JSON": await client.post(CUSTOMERS, headers=secret | json, content=b"{"),
        "not an object": await client.post(CUSTOMERS, headers=secret, json=[]),
        "no body": await client.post(CUSTOMERS, headers=secret),
        "another type": await client.post(CUSTOMERS, headers=secret, data={"email": "a@example.com"}),
        "too long": await client.post(CUSTOMERS, headers=secret | json, content=b" " * 2**21),
        "a bad parameter": await client.get(f"{CUSTOMERS}?page=0", headers=secret),
        "a bad field": await client.post(CUSTOMERS, headers=secret, json={"email": "jane"}),
        "a taken value": await client.post(CUSTOMERS, headers=secret, json={"email": "jane@example.com"}),
        "another version": await client.delete(f"/api/v1/apps/{SLUG}", headers=secret | {"If-Match": '"9"'}),
    }
    keyed = secret | {"Idempotency-Key": "order-1"}
    await client.post(CUSTOMERS, headers=keyed, json={"email": "lena@example.com"})
    walked["a reused key"] = await client.post(CUSTOMERS, headers=keyed, json={"email": "jo@example.com"})
    batch = f"/api/v1/apps/{SLUG}/licenses/verify/batch"
    await client.post(batch, json={"jtis": []})
    walked["too often"] = await client.post(batch, json={"jtis": []})
    monkeypatch.setattr(apps, "all_apps", failing(RuntimeError("the secret inside")))
    walked["a crash"] = await client.get("/api/v1/apps", headers=secret)
    monkeypatch.setattr(apps, "all_apps", failing(StoreUnavailable("the secret inside")))
    walked["no store"] = await client.get("/api/v1/apps", headers=secret)

    taken, blank = "has already been taken", "is not a valid address"
    assert {cause: error(response) for cause, response in walked.items()} == {
        "no key": (401, "unauthorized", None),
        "a bad key": (401, "unauthorized", None),
        "a key that may not": (403, "forbidden", None),
        "an unknown path": (404, "not_found", None),
        "an unknown app": (404, "not_found", None),
        "an unknown customer": (404, "not_found", None),
        "another method": (405, "method_not_allowed", None),
        "not JSON": (400, "bad_request", None),
        "not an object": (400, "bad_request", None),
        "no body": (400, "bad_request", None),
        "another type": (415, "unsupported_media_type", None),
        "too long": (413, "payload_too_large", None),
        "a bad parameter": (422, "validation_error", {"page": ["must be an integer of at least 1"]}),
        "a bad field": (422, "validation_error", {"email": [blank]}),
        "a taken value": (409, "conflict", {"email": [taken]}),
        "another version": (412, "precondition_failed", None),
        "a reused key": (422, "idempotency_mismatch", None),
        "too often": (429, "rate_limited", None),
        "a crash": (500, "internal_error", None),
        "no store": (503, "unavailable", None),
    }
    assert {error(response)[1] for response in walked.values()} == set(Code)
    assert all("x-request-id" in response.headers for response in walked.values())
    assert not any("the secret inside" in response.text for response in walked.values())


async def test_an_internal_error_is_logged_with_its_traceback_and_a_refusal_is_not(
    client: httpx.AsyncClient, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = structlog.testing.CapturingLogger()
    monkeypatch.setattr(operations, "log", logged)
    client.headers["Authorization"] = f"Bearer {vendor.secret}"

    async def crash(*_: object) -> None:
        raise RuntimeError

    await client.get("/api/v1/apps/nothing")
    await client.get("/api/v1/apps?page=0")
    quiet = list(logged.calls)
    monkeypatch.setattr(apps, "all_apps", crash)
    await client.get("/api/v1/apps")

    assert quiet == []
    (call,) = logged.calls
    assert (call.method_name, call.args) == ("error", ("request.failed",))
    assert call.kwargs["exception"].endswith("RuntimeError")
    assert "in crash" in call.kwargs["exception"]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////nothing/there.db",
        "postgresql://nobody@127.0.0.1:1/nothing",
        "postgresql:///x?host=/nothing",
    ],
)
async def test_a_database_that_does_not_answer_is_503(url: str) -> None:
    database = Database(url)
    app = rest_app(database, KEYRING, Authentication(database, Policy()), max_body_bytes=0)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        key = {"Authorization": "Bearer sk_live_" + "0" * 32}
        answers = [
            await client.get("/api/v1/apps", headers=key),
            await client.post(CUSTOMERS, headers=key, json={}),
            await client.get("/api/health"),
        ]
    await database.close()

    assert [error(answer) for answer in answers] == [(503, "unavailable", None)] * 3
    assert [answer.headers["retry-after"] for answer in answers] == ["1"] * 3


async def test_a_missing_app_comes_before_a_bad_query(client: httpx.AsyncClient, vendor: Vendor) -> None:
    client.headers["Authorization"] = f"Bearer {vendor.secret}"
    in_app = [each for each in OPERATIONS if each.query is not None and "{slug}" in each.path]
    in_app = [each for each in in_app if "{id}" not in each.path]
    bad = "page=0&installation_id=x&email=&external_id=&retire=x&as_of=x&limit=0&erase=x&from=x&to=x"
    codes = {
        slug: [
            error(await client.request(each.methods[0], f"{each.path.format(slug=slug)}?{bad}"))[1]
            for each in in_app
        ]
        for slug in (SLUG, "nothing")
    }

    assert len(in_app) == 12
    assert codes == {SLUG: ["validation_error"] * 12, "nothing": ["not_found"] * 12}


def _answer(cause: Exception) -> tuple[int, str, object]:
    problem = problem_of(cause)
    return problem.status, problem.error.code.value, problem.error.details


def _faults(*faults: tuple[FaultCode, str]) -> Faults:
    return Faults(Fault(code, "is so", tuple(field.split(".")) if field else ()) for code, field in faults)


def test_several_faults_become_one_error() -> None:
    blank, invalid, long, taken = FaultCode.BLANK, FaultCode.INVALID, FaultCode.TOO_LONG, FaultCode.TAKEN
    missing, used, state = FaultCode.NOT_FOUND, FaultCode.IN_USE, FaultCode.WRONG_STATE

    def wrong(*fields: str) -> tuple[int, str, object]:
        return 422, "validation_error", {field: ["is so"] for field in fields}

    def conflict(*fields: str) -> tuple[int, str, object]:
        return 409, "conflict", {field: ["is so"] for field in fields}

    cases = [
        ([(blank, "a")], wrong("a")),
        ([(invalid, "a"), (long, "b"), (blank, "c")], wrong("a", "b", "c")),
        ([(taken, "a"), (taken, "b")], conflict("a", "b")),
        ([(used, "a")], conflict("a")),
        ([(state, "id")], conflict("id")),
        ([(invalid, "a"), (taken, "b")], wrong("a", "b")),
        *(
            (
                [(code, "a")],
                conflict("a") if code in {taken, used, state, FaultCode.TRIAL_USED} else wrong("a"),
            )
            for code in FaultCode
        ),
        ([(missing, "slug")], (404, "not_found", None)),
        ([(missing, "app_slug")], (404, "not_found", None)),
        ([(missing, "id")], (404, "not_found", None)),
        ([(missing, "customer_id")], wrong("customer_id")),
        ([(missing, "features"), (missing, "tier_id")], wrong("features", "tier_id")),
        ([(invalid, "")], wrong("base")),
        ([(invalid, "metadata.plan"), (invalid, "metadata.a")], wrong("metadata")),
    ]
    assert [_answer(_faults(*faults)) for faults, _ in cases] == [answer for _, answer in cases]


def test_messages_of_one_field_are_grouped_and_the_sentence_names_the_field() -> None:
    cause = Faults(
        [
            Fault(FaultCode.INVALID, "is odd", ("metadata", "a")),
            Fault(FaultCode.INVALID, "is deep", ("metadata", "b")),
            Fault(FaultCode.INVALID, "is incomplete"),
        ]
    )

    problem = problem_of(cause).error

    assert problem.details == {"metadata": ["is odd", "is deep"], "base": ["is incomplete"]}
    assert problem.message == "metadata.a is odd; metadata.b is deep; is incomplete"


def test_every_refusal_has_a_row() -> None:
    refusals = [
        Unauthenticated(NO_KEY),
        Forbidden("no"),
        BadUserInput("email", "is too long"),
        Busy("later"),
        RateLimited("later", 3),
        KeyReused(),
        InProgress(),
        _faults((FaultCode.TAKEN, "a")),
    ]
    assert {type(each) for each in refusals} == set(Refused.__subclasses__())
    assert "internal_error" not in {_answer(each)[1] for each in refusals}


def test_other_causes() -> None:
    assert _answer(BadUserInput("email", "is too long")) == (
        422,
        "validation_error",
        {"email": ["is too long"]},
    )
    assert _answer(HttpRefusal(400, "no")) == (400, "bad_request", None)
    assert _answer(HttpRefusal(408, "no")) == (408, "bad_request", None)
    assert _answer(HttpRefusal(415, "no")) == (415, "unsupported_media_type", None)
    assert _answer(HttpRefusal(503, "no")) == (503, "unavailable", None)
    assert _answer(KeyError("x")) == (500, "internal_error", None)
    assert set(STATUSES) == set(Code)
