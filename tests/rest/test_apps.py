"""Apps, except for their signing keys."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from db import clock
from db.apps import apps
from db.engine import Database
from tests.factories import make_app
from tests.rest.conftest import SLUG, Vendor
from tests.rest.expecting import APP_ID, APP_KEYS, NOT_FOUND, PEM, error, invalid, stored, taken

NOVA = {"name": "Nova", "slug": "nova", "description": "A studio", "webhook_url": "https://nova.example/hook"}


async def test_an_app_is_created_with_its_location(api: httpx.AsyncClient) -> None:
    before = clock.now()

    response = await api.post("/apps", json=NOVA)

    app = response.json()["data"]
    assert response.status_code == 201
    assert list(app) == APP_KEYS
    assert app == {"id": APP_ID, **NOVA, "public_key_pem": PEM, "created_at": app["created_at"]}
    assert before <= datetime.fromisoformat(app["created_at"]) <= clock.now()
    assert response.headers["location"] == "/api/v1/apps/nova"
    assert (await api.get("/apps/nova")).text == response.text


async def test_only_name_and_slug_are_required(api: httpx.AsyncClient) -> None:
    unset: list[dict[str, Any]] = [
        {},
        {"description": None, "webhook_url": None},
        {"description": "", "webhook_url": ""},
    ]

    made = [
        (await api.post("/apps", json={"name": "Nova", "slug": f"nova-{n}", **body})).json()["data"]
        for n, body in enumerate(unset)
    ]

    assert [(each["description"], each["webhook_url"]) for each in made] == [(None, None)] * len(unset)


async def test_the_list_holds_the_accounts_apps_newest_first(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await api.post("/apps", json=NOVA)
    await stranger.post("/apps", json={"name": "Theirs", "slug": "theirs"})

    body = (await api.get("/apps")).json()

    assert [each["slug"] for each in body["data"]] == ["nova", SLUG]
    assert [list(each) for each in body["data"]] == [APP_KEYS] * 2
    assert body["meta"] == {"total": 2, "page": 1, "per_page": 20}


async def test_an_app_is_only_found_by_its_slug(api: httpx.AsyncClient, vendor: Vendor) -> None:
    assert (await api.get(f"/apps/{SLUG}")).json()["data"]["id"] == vendor.app.id
    slugs = (vendor.app.id, SLUG.upper(), f"{SLUG}%20", f"{SLUG}%00", "%00", "%FF", "'", "x" * 5000, "-", "ä")
    for slug in slugs:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = error(await api.request(method, f"/apps/{slug}", json={"name": "New"}))
            assert answer == NOT_FOUND, (method, slug)


async def test_faults_of_a_new_app(api: httpx.AsyncClient, database: Database) -> None:
    blank, form = (
        "can't be blank",
        "must be lower-case letters, digits and hyphens, with no hyphen first or last",
    )
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({}, invalid(name=blank, slug=blank)),
        ({"name": None, "slug": None}, invalid(name=blank, slug=blank)),
        ({"name": " ", "slug": ""}, invalid(name=blank, slug=blank)),
        ({"name": 1, "slug": ["nova"]}, invalid(name="must be a string", slug="must be a string")),
        ({"name": "x" * 256}, invalid(name="is too long (maximum is 255 characters)")),
        ({"name": "a\x00b"}, invalid(name="must not contain NUL or lone surrogates")),
        ({"slug": "Nova"}, invalid(slug=form)),
        ({"slug": "-nova"}, invalid(slug=form)),
        ({"slug": "nova-"}, invalid(slug=form)),
        ({"slug": "no va"}, invalid(slug=form)),
        ({"slug": "no_va"}, invalid(slug=form)),
        ({"slug": "növa"}, invalid(slug=form)),
        ({"slug": "nova\n"}, invalid(slug=form)),
        ({"slug": "x" * 64}, invalid(slug="is too long (maximum is 63 characters)")),
        ({"description": "x" * 2001}, invalid(description="is too long (maximum is 2000 characters)")),
        ({"description": 1}, invalid(description="must be a string")),
        ({"webhook_url": "nova.example"}, invalid(webhook_url="must be an absolute URL")),
        ({"webhook_url": "/hook"}, invalid(webhook_url="must be an absolute URL")),
        ({"webhook_url": "https://"}, invalid(webhook_url="must be an absolute URL")),
        ({"webhook_url": "https://a b"}, invalid(webhook_url="must be an absolute URL")),
        ({"webhook_url": "https://[::1"}, invalid(webhook_url="must be an absolute URL")),
        ({"webhook_url": "http://nova.example"}, invalid(webhook_url="must be an absolute https URL")),
        ({"webhook_url": "ftp://nova.example"}, invalid(webhook_url="must be an absolute https URL")),
        (
            {"webhook_url": "https://x.example/" + "x" * 2000},
            invalid(webhook_url="is too long (maximum is 2000 characters)"),
        ),
        ({"signing_algorithm": "HS256"}, invalid(signing_algorithm="must be one of: RS256, EdDSA")),
        ({"signing_algorithm": "none"}, invalid(signing_algorithm="must be one of: RS256, EdDSA")),
        ({"signing_algorithm": None}, invalid(signing_algorithm="can't be blank")),
        ({"signing_algorithm": 1}, invalid(signing_algorithm="must be one of: RS256, EdDSA")),
        ({"slug": SLUG}, taken("slug")),
        ({"slug": SLUG, "name": ""}, invalid(name=blank)),
    ]
    before = await stored(database, apps)

    answers = [error(await api.post("/apps", json={**NOVA, **body} if body else {})) for body, _ in cases]

    assert answers == [answer for _, answer in cases]
    assert await stored(database, apps) == before


async def test_the_longest_values_that_are_accepted(api: httpx.AsyncClient) -> None:
    body = {
        "name": "ä" * 255,
        "slug": "x" * 63,
        "description": "🦊" * 2000,
        "webhook_url": "https://x.example/".ljust(2000, "x"),
    }

    made = (await api.post("/apps", json=body)).json()["data"]
    shortest = await api.post("/apps", json={"name": "x", "slug": "a"})

    assert {key: made[key] for key in body} == body
    assert shortest.status_code == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_update_changes_the_keys_that_are_present(api: httpx.AsyncClient, method: str) -> None:
    expected = (await api.post("/apps", json=NOVA)).json()["data"]

    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"name": "Nova 2"}, {"name": "Nova 2"}),
        ({"slug": "nova"}, {}),
        ({"signing_algorithm": "RS256"}, {}),
        ({"signing_algorithm": "RS256", "name": "Nova 3"}, {"name": "Nova 3"}),
        ({"slug": "nova", "description": None}, {"description": None}),
        ({"webhook_url": None}, {"webhook_url": None}),
        ({"webhook_url": "https://new.example/"}, {"webhook_url": "https://new.example/"}),
        ({"webhook_url": ""}, {"webhook_url": None}),
        ({"id": "app_1", "created_at": "2020-01-01T00:00:00Z", "public_key_pem": "x", "unknown": 1}, {}),
    ]
    for body, change in steps:
        response = await api.request(method, "/apps/nova", json=body)
        expected = expected | change
        assert (response.status_code, response.json()) == (200, {"data": expected}), body
        assert list(response.json()["data"]) == APP_KEYS


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_update_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, method: str
) -> None:
    await make_app(database, vendor.account, slug="nova")
    before = await stored(database, apps)

    answers = [
        error(await api.request(method, f"/apps/{SLUG}", json={"description": "New", **body}))
        for body in (
            {"slug": "new"},
            {"slug": "nova"},
            {"slug": None},
            {"slug": ""},
            {"slug": SLUG.upper()},
            {"slug": 1, "name": None, "webhook_url": "x"},
            {"name": ""},
            {"signing_algorithm": "RS256"},
            {"signing_algorithm": "EDDSA"},
            {"signing_algorithm": None, "name": ""},
        )
    ]

    fixed = invalid(slug="cannot be changed")
    assert answers == [
        fixed,
        fixed,
        fixed,
        fixed,
        fixed,
        invalid(slug="cannot be changed", name="can't be blank", webhook_url="must be an absolute URL"),
        invalid(name="can't be blank"),
        invalid(signing_algorithm="cannot be changed"),
        invalid(signing_algorithm="cannot be changed"),
        invalid(signing_algorithm="cannot be changed", name="can't be blank"),
    ]
    assert await stored(database, apps) == before


async def test_an_app_that_does_not_exist_has_no_algorithm(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    body = {"signing_algorithm": "RS256"}

    assert error(await api.put("/apps/nothing", json=body)) == NOT_FOUND
    assert error(await stranger.put(f"/apps/{SLUG}", json=body)) == NOT_FOUND


async def test_a_deleted_app_is_gone_and_its_slug_is_free(api: httpx.AsyncClient, database: Database) -> None:
    first = await api.delete(f"/apps/{SLUG}")

    assert (first.status_code, first.content) == (204, b"")
    assert error(await api.delete(f"/apps/{SLUG}")) == NOT_FOUND
    assert error(await api.get(f"/apps/{SLUG}/customers")) == NOT_FOUND
    assert (await api.post("/apps", json={"name": "Again", "slug": SLUG})).status_code == 201
