"""Unknown query parameters are ignored, but named in the header X-Ignored-Parameters and in the log."""

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from rest.ignored import MAX_NAMES, NAME_LENGTH
from rest.openapi import document
from rest.routes import OPERATIONS
from tests.rest.conftest import CUSTOMERS, INSTALLATION, LICENSES, SLUG, Offer, Vendor, created, issued

HEADER = "x-ignored-parameters"


def ignored(response: httpx.Response) -> str | None:
    value = response.headers.get(HEADER)
    return None if value is None else str(value)


async def line_of(api: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Send a GET request, and return the line that the server logs for it."""
    with capture_logs() as logged:
        await api.get(path)
    (line,) = [each for each in logged if each["event"] == "request.answered"]
    return dict(line)


async def test_a_list_with_an_unknown_filter_is_whole_and_names_the_filter(api: httpx.AsyncClient) -> None:
    await created(api, email="jane@example.com")
    whole = await api.get(CUSTOMERS)

    for query, names in {
        "externalId=crm-1": "externalId",
        "email[]=joe@example.com": "email[]",
        "email%5B%5D=joe@example.com": "email[]",
        "sort=email&page=1&direction=asc&sort=name": "sort, direction",
        "Email=joe": "Email",
        "a": "a",
        "a%2Cb=1&c%25=2&d+e=3&%C3%BC=4": "a%2Cb, c%25, d%20e, %C3%BC",
        "x%0D%0ASet-Cookie:+a=1&%FF%00=2": "x%0D%0ASet-Cookie:%20a, %FF%00",
    }.items():
        response = await api.get(f"{CUSTOMERS}?{query}")

        assert (response.status_code, response.text) == (200, whole.text), query
        assert ignored(response) == names, query
        assert "set-cookie" not in response.headers


@pytest.mark.parametrize("query", ["", "?", "?&&=&", "?email=jane&external%5Fid=&page=1&per_page=5&email=j"])
async def test_known_parameters_are_not_named(api: httpx.AsyncClient, query: str) -> None:
    assert ignored(await api.get(f"{CUSTOMERS}{query}")) is None


async def test_every_operation_names_what_it_ignores_in_errors_too(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, vendor: Vendor
) -> None:
    for operation in OPERATIONS:
        # A rotation refuses unknown parameters instead of ignoring them.
        expected = None if operation.name == "rotate_keys" else "dry_run"
        path = operation.path.format(slug=SLUG, id="no-id")
        for method in operation.methods:
            url = f"http://testserver{path}?dry_run=1"
            assert ignored(await api.request(method, url)) == expected, operation.name
            assert ignored(await anyone.request(method, url)) == expected, operation.name


async def test_a_parameter_of_one_operation_is_unknown_to_others(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer)

    verified = await anyone.get(f"{LICENSES}/verify?installation_id={INSTALLATION}&page=1")
    one = await api.get(f"{LICENSES}/{license['id']}?installation_id={INSTALLATION}")
    head = await api.head(f"{LICENSES}/{license['id']}?installation_id={INSTALLATION}")
    key = await anyone.get(f"/apps/{SLUG}/public-key?format=pem")

    assert (verified.status_code, ignored(verified)) == (200, "page")
    assert (one.status_code, ignored(one), ignored(head)) == (200, "installation_id", "installation_id")
    assert (key.status_code, ignored(key)) == (200, "format")
    assert ignored(await anyone.get(f"{LICENSES}/verify?installation_id={INSTALLATION}")) is None


async def test_the_names_are_bounded_in_number_and_length(api: httpx.AsyncClient) -> None:
    many = "&".join(f"p{n}=1" for n in range(1_000))
    long = await api.get(f"{CUSTOMERS}?{'x' * 5_000}=1")
    wide = await api.get(f"{CUSTOMERS}?{'%F0%9F%A6%8A' * 1_000}=1")

    assert ignored(await api.get(f"{CUSTOMERS}?{many}")) == ", ".join(
        [*(f"p{n}" for n in range(MAX_NAMES)), "..."]
    )
    assert ignored(long) == "x" * NAME_LENGTH
    assert ignored(wide) == "%F0%9F%A6%8A" * NAME_LENGTH


async def test_the_log_has_the_names_and_no_value(api: httpx.AsyncClient, vendor: Vendor) -> None:
    line = await line_of(api, f"{CUSTOMERS}?externalId=crm-8841&email[]=jane@example.com&page=1")

    assert line["ignored_parameters"] == "externalId,email[]"
    assert "crm-8841" not in str(line)
    assert "jane" not in str(line)
    assert "ignored_parameters" not in await line_of(api, f"{CUSTOMERS}?email=jane")


async def test_a_name_that_could_be_a_value_is_not_logged(api: httpx.AsyncClient, vendor: Vendor) -> None:
    for name in (
        vendor.secret,
        f"sk_live_{'x' * 32}",
        "jane@example.com",
        INSTALLATION,
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln",
        "cus_01kfn2v4c9fvz8k5p2x7w3q6hn",
        "x" * (NAME_LENGTH + 1),
        "a b",
        "a%0Ab",
        "%F0%9F%A6%8A",
    ):
        line = await line_of(api, f"{CUSTOMERS}?{name}&sort=1")
        assert line["ignored_parameters"] == "other,sort", name

    many = "&".join("x" * n for n in range(1, NAME_LENGTH))
    line = await line_of(api, f"{CUSTOMERS}?{many}")
    assert line["ignored_parameters"] == ",".join([*("x" * n for n in range(1, MAX_NAMES + 1)), "..."])


def test_the_document_says_so() -> None:
    assert "X-Ignored-Parameters" in document()["info"]["description"]
