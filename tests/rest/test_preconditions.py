"""ETag and If-Match: a response has the version of its object, and a change can require that version."""

from typing import Any

import httpx
import pytest

from db.engine import Database
from rest.preconditions import if_match
from tests.rest.conftest import CUSTOMERS, FEATURES, LENA, LICENSES, SLUG, TIERS, Offer, created, issued
from tests.rest.expecting import error
from tests.statements import Statements

APP = f"/apps/{SLUG}"
EXPORT = {"slug": "pdf", "name": "PDF"}
TEAM = {"slug": "crew", "name": "Crew"}


def tag(response: httpx.Response) -> tuple[int, str | None]:
    return response.status_code, response.headers.get("etag")


async def made(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    """Create an object and return its path."""
    response = await api.post(path, json=body)
    assert response.status_code == 201, response.text
    return f"{path}/{response.json()['data']['id']}"


async def test_a_response_with_one_object_has_its_version_as_the_etag(
    api: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer)
    path = f"{LICENSES}/{license['id']}"

    answers = [
        await api.post("/apps", json={"name": "Editor", "slug": "editor"}),
        await api.get("/apps/editor"),
        await api.put("/apps/editor", json={"name": "Sketch"}),
        await api.post(CUSTOMERS, json=LENA | {"email": "ada@orbit.example"}),
        await api.post(f"{CUSTOMERS}/get-or-create", json={"email": "ada@orbit.example"}),
        await api.get(f"{CUSTOMERS}/by-email?email=ada@orbit.example"),
        await api.get(f"{CUSTOMERS}/by-external-id?external_id=crm-8841"),
        await api.get(path),
        await api.get(f"{LICENSES}/by-installation?installation_id={license['installation_id']}"),
        await api.post(f"{path}/revoke"),
        await api.post(f"{path}/revoke"),
        await api.post(f"{path}/reinstate"),
        await api.post(f"{path}/regenerate"),
        await api.post(f"{path}/regenerate", json={"current_token": license["token"]}),
        await api.post(TIERS, json=TEAM),
        await api.post(FEATURES, json=EXPORT),
    ]

    assert [tag(each) for each in answers] == [
        *((201, '"1"'), (200, '"1"'), (200, '"2"')),
        *((201, '"1"'), (200, '"1"'), (200, '"1"'), (200, '"1"')),
        *((200, '"1"'), (200, '"1"'), (200, '"2"'), (200, '"2"'), (200, '"3"'), (200, '"4"'), (200, '"5"')),
        *((201, '"1"'), (201, '"1"')),
    ]
    assert not any("version" in each.json()["data"] for each in answers)


async def test_lists_and_other_resources_have_no_etag(api: httpx.AsyncClient, offer: Offer) -> None:
    await issued(api, offer)
    paths = "/apps", CUSTOMERS, LICENSES, TIERS, FEATURES, "/api-keys", f"{APP}/licenses/verify?jti=lic_1"

    assert [tag(await api.get(path))[1] for path in paths] == [None] * 7


async def test_an_object_is_read_with_its_version_in_one_statement(
    api: httpx.AsyncClient, app: Any, statements: Statements
) -> None:
    # Whatever the metadata holds, the ETag is the version of the object.
    metadata = {'"version"': 7, "version": {"version": [8, {"version": 9}]}}
    id = (await created(api, **LENA | {"metadata": metadata}))["id"]
    await api.get(f"{CUSTOMERS}/{id}")  # SQLite may run a new statement twice

    with statements.recorded(app.state.database) as recording:
        answer = await api.get(f"{CUSTOMERS}/{id}")

    assert len(recording) == 1
    assert tag(answer) == (200, '"1"')
    assert answer.json()["data"]["metadata"] == metadata


@pytest.mark.parametrize(
    ("path", "body", "change"),
    [
        (CUSTOMERS, LENA, {"name": "Lena"}),
        (TIERS, TEAM, {"name": "Gang"}),
        (FEATURES, EXPORT, {"name": "Print"}),
        ("/apps", {"slug": "editor", "name": "Editor"}, {"name": "Sketch"}),
    ],
)
async def test_updates_and_deletions_require_the_version(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    address = await made(api, path, body)
    address = "/apps/editor" if path == "/apps" else address
    first, other = {"If-Match": '"1"'}, {"If-Match": '"2"'}

    assert error(await api.put(address, json=change, headers=other)) == (412, "precondition_failed", None)
    assert tag(await api.put(address, json=change, headers=first)) == (200, '"2"')
    assert error(await api.patch(address, json=change, headers=first)) == (412, "precondition_failed", None)
    assert error(await api.delete(address, headers=first)) == (412, "precondition_failed", None)
    # A change that changes nothing leaves the version as it is, but still requires it.
    assert tag(await api.patch(address, json=change, headers=other)) == (200, '"2"')
    assert tag(await api.delete(address, headers=other)) == (204, None)


async def test_actions_require_the_version(api: httpx.AsyncClient, offer: Offer) -> None:
    license = await issued(api, offer)
    path, by_token = f"{LICENSES}/{license['id']}", {"current_token": license["token"]}

    async def act(name: str, version: int, body: dict[str, str] | None = None) -> tuple[int, str | None]:
        return tag(await api.post(f"{path}/{name}", json=body or {}, headers={"If-Match": f'"{version}"'}))

    assert [
        *(await act("regenerate", 2), await act("regenerate", 1)),
        *(await act("regenerate", 1, by_token), await act("regenerate", 2, by_token)),
        *(await act("revoke", 2), await act("revoke", 3), await act("revoke", 3)),
        *(await act("reinstate", 3), await act("reinstate", 4)),
    ] == [
        *((412, None), (200, '"2"'), (412, None), (200, '"3"')),
        *((412, None), (200, '"4"'), (412, None)),
        *((412, None), (200, '"5"')),
    ]
    assert tag(await api.delete(path, headers={"If-Match": '"4"'})) == (412, None)
    assert tag(await api.delete(path, headers={"If-Match": '"5"'})) == (204, None)


async def test_a_refusal_names_the_current_version(api: httpx.AsyncClient) -> None:
    address = await made(api, CUSTOMERS, LENA)

    refused = await api.delete(address, headers={"If-Match": '"9"'})

    message = "If-Match does not match the current version, which is 1."
    assert refused.json() == {"error": {"code": "precondition_failed", "message": message}}


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("*", 200),
        ('"1"', 200),
        (' "7" , "1"', 200),
        ('"7",,"1",', 200),
        ('"a,b", "1"', 200),
        ('"7", "8"', 412),
        ('W/"1"', 412),
        ('"01"', 412),
        ('"1.0"', 412),
        ('""', 412),
        ('"99999999999999999999"', 412),
        ('"\xe4"', 412),
        ("", 400),
        (",", 400),
        ("1", 400),
        ('"1', 400),
        ("'1'", 400),
        ('"1" "2"', 400),
        ('*, "1"', 400),
        ('w/"1"', 400),
        ('"1 "', 400),
    ],
)
async def test_forms_of_the_header(api: httpx.AsyncClient, header: str, status: int) -> None:
    address = await made(api, CUSTOMERS, LENA)

    answer = await api.put(address, json={"name": "Lena"}, headers=[(b"If-Match", header.encode("latin-1"))])

    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"] == {
            "code": "bad_request",
            "message": 'If-Match must be * or a list of ETags in quotes, such as "4". An ETag is the version '
            "of an object.",
        }


async def test_several_lines_are_one_list(api: httpx.AsyncClient) -> None:
    address = await made(api, CUSTOMERS, LENA)

    lines = [("If-Match", '"7"'), ("If-Match", '"1"')]

    assert tag(await api.delete(address, headers=lines)) == (204, None)


def test_a_long_malformed_header_is_refused_at_once() -> None:
    with pytest.raises(Exception, match="If-Match must be"):
        if_match([" " * 30_000 + '"1"' + "\t" * 30_000 + "x"])


async def test_other_problems_come_before_the_version(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    address = await made(api, CUSTOMERS, LENA)
    stale, malformed = {"If-Match": '"9"'}, {"If-Match": "9"}

    assert [
        (await reader.delete(address, headers=malformed)).status_code,
        (await stranger.delete(address, headers=malformed)).status_code,
        (await api.delete(f"{CUSTOMERS}/cus_1", headers=malformed)).status_code,
        (await api.delete("/apps/nothing", headers=malformed)).status_code,
        (await api.put("/apps/nothing", json={}, headers=malformed)).status_code,
        (await api.put(address, json={"email": "lena"}, headers=stale)).status_code,
        (await api.put(address, json={"email": "lena"}, headers=malformed)).status_code,
    ] == [403, 404, 404, 404, 404, 422, 400]


async def test_a_refused_change_writes_nothing(api: httpx.AsyncClient, database: Database) -> None:
    address = await made(api, CUSTOMERS, LENA)
    before = await api.get(address)

    await api.put(address, json={"name": "Lena", "email": "new@orbit.example"}, headers={"If-Match": '"2"'})

    after = await api.get(address)
    assert (tag(after), after.text) == (tag(before), before.text)


async def test_a_read_ignores_the_header(api: httpx.AsyncClient) -> None:
    address = await made(api, CUSTOMERS, LENA)

    assert [tag(await api.get(address, headers={"If-Match": each})) for each in ('"9"', "9", "*")] == [
        (200, '"1"')
    ] * 3
