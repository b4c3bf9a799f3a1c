"""Bad input gets a clear error that names the field, and writes nothing."""

from typing import Any

import httpx
import pytest

from db.apps import apps
from db.customers import customers
from db.engine import Database
from tests.rest.conftest import CUSTOMERS, SLUG
from tests.rest.expecting import BAD_REQUEST, NOT_FOUND, error, invalid, stored

pytestmark = pytest.mark.surface

UNSTORABLE = "must not contain NUL or lone surrogates"


def _nested(depth: int) -> object:
    """Return an object with `depth` levels of nesting."""
    value: object = 1
    for _ in range(depth):
        value = {"a": value}
    return value


async def _post_text(api: httpx.AsyncClient, text: str | bytes) -> httpx.Response:
    return await api.post(CUSTOMERS, content=text, headers={"Content-Type": "application/json"})


async def test_unusual_emails(api: httpx.AsyncClient, database: Database) -> None:
    accepted = {
        "jane@example.com": "jane@example.com",
        " \t jane+1@example.com\n": "jane+1@example.com",
        "Jane.Doe@EXAMPLE.Com": "Jane.Doe@EXAMPLE.Com",
        "jane+tag+more@example.com": "jane+tag+more@example.com",
        "o'brien@example.com": "o'brien@example.com",
        "!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com",
        "j@e.co": "j@e.co",
        "123@example.com": "123@example.com",
        "jane@sub.sub.example.museum": "jane@sub.sub.example.museum",
        "jane@localhost": "jane@localhost",
        "jane@corp.test": "jane@corp.test",
        "jane@corp.local": "jane@corp.local",
        "jane@corp.invalid": "jane@corp.invalid",
        "jane@xn--bcher-kva.example": "jane@xn--bcher-kva.example",
        "joe@Bücher.example": "joe@Bücher.example",
        "jane@example_.com": "jane@example_.com",
        ".jane@example.com": ".jane@example.com",
        "jane.@example.com": "jane.@example.com",
        "ja..ne@example.com": "ja..ne@example.com",
        '"jane doe"@example.com': '"jane doe"@example.com',
        "jane@[127.0.0.1]": "jane@[127.0.0.1]",
        "żółw@example.com": "żółw@example.com",
        "用户@例え.jp": "用户@例え.jp",
        "a" * 242 + "@example.com": "a" * 242 + "@example.com",
    }
    refused = [
        "jane",
        "@",
        "@example.com",
        "jane@",
        "jane@@example.com",
        "jane@doe@example.com",
        "jane doe@example.com",
        "jane@exam ple.com",
        "jane@example..com",
        "jane@.example.com",
        "jane@-example.com",
        "jane\n@example.com",
        "jane@example.com\nBcc: all@example.com",
        "jane@example.com, joe@example.com",
        "Jane <jane@example.com>",
        '"jane doe@example.com',
        "jane(comment)@example.com",
        "jane@[127.0.0.1",
        "jane\\@example.com",
        "mailto:jane@example.com",
        "jane\u202e@example.com",
    ]

    good = {email: await api.post(CUSTOMERS, json={"email": email}) for email in accepted}
    bad = {email: error(await api.post(CUSTOMERS, json={"email": email})) for email in refused}

    assert {email: answer.status_code for email, answer in good.items()} == dict.fromkeys(accepted, 201)
    assert {email: answer.json()["data"]["email"] for email, answer in good.items()} == accepted
    assert bad == dict.fromkeys(refused, invalid(email="is not a valid address"))
    assert len(await stored(database, customers)) == len(accepted)


async def test_an_email_that_is_missing_empty_too_long_or_not_a_string(
    api: httpx.AsyncClient, database: Database
) -> None:
    blank, long = "can't be blank", "is too long (maximum is 254 characters)"
    cases: list[tuple[Any, str]] = [
        (None, blank),
        ("", blank),
        (" \t\n", blank),
        ("a@" + "b" * 253, long),
        ("a" * 100_000, long),
        (1, "must be a string"),
        (True, "must be a string"),
        (["jane@example.com"], "must be a string"),
        ({"a": 1}, "must be a string"),
        ("jane\x00@example.com", UNSTORABLE),
    ]

    answers = [error(await api.post(CUSTOMERS, json={"email": email})) for email, _ in cases]

    assert answers == [invalid(email=message) for _, message in cases]
    assert await stored(database, customers) == []


async def test_nul_and_lone_surrogates_are_refused_in_every_text(
    api: httpx.AsyncClient, database: Database
) -> None:
    fields = {
        "email": '"jane{}@example.com"',
        "name": '"a{}b"',
        "external_id": '"{}"',
        "metadata": '{{"a": ["{}"]}}',
    }
    for escape in ("\\u0000", "\\ud800", "\\udc00", "\\udfff\\ud800"):
        for name, value in fields.items():
            others = "" if name == "email" else '"email": "jane@example.com", '
            text = f'{{{others}"{name}": {value.format(escape)}}}'

            assert error(await _post_text(api, text)) == invalid(**{name: UNSTORABLE}), text
        key = f'{{"email": "jane@example.com", "metadata": {{"{escape}": 1}}}}'
        assert error(await _post_text(api, key)) == invalid(metadata=UNSTORABLE)
        deep = f'{{"email": "jane@example.com", "metadata": {{"a": {{"{escape}": 1}}}}}}'
        assert error(await _post_text(api, deep)) == invalid(metadata=UNSTORABLE)
        names = ("name", "slug", "description", "webhook_url")
        app = "{" + ", ".join(f'"{name}": "{escape}"' for name in names) + "}"
        answer = await api.post("/apps", content=app, headers={"Content-Type": "application/json"})
        assert error(answer) == invalid(**dict.fromkeys(names, UNSTORABLE))
    assert await stored(database, customers) == []
    assert len(await stored(database, apps)) == 1


async def test_everything_else_in_unicode_is_kept_as_sent(api: httpx.AsyncClient) -> None:
    # Combining marks, letters outside the BMP, noncharacters, controls, bidirectional marks and ligatures. A
    # surrogate pair follows below.
    texts = [
        "e\u0301",
        "é",
        "𝒥ane 🦊",
        "\uffff\ufffe",
        "\x01\x1f\x7f\u0085\u2028",
        "\u202eenaj",
        "\ufeffjane",
        "ﬀ İ ß",
    ]
    for number, text in enumerate(texts):
        body = {
            "email": f"{number}@example.com",
            "name": text,
            "external_id": text,
            "metadata": {text: [text, {text: text}]},
        }

        made = await api.post(CUSTOMERS, json=body)
        found = await api.get(f"{CUSTOMERS}/by-external-id", params={"external_id": text})

        assert made.status_code == 201, text
        assert {key: made.json()["data"][key] for key in body} == body
        assert found.text == made.text
    paired = await _post_text(api, '{"email": "pair@example.com", "name": "\\ud83e\\udd8a"}')
    assert paired.json()["data"]["name"] == "🦊"


async def test_values_that_are_too_long_or_not_strings(api: httpx.AsyncClient, database: Database) -> None:
    for name in ("name", "external_id"):
        long = "is too long (maximum is 255 characters)"
        cases: list[tuple[Any, str]] = [
            ("x" * 256, long),
            ("🦊" * 256, long),
            ("x" * 500_000, long),
            (1, "must be a string"),
            (1.5, "must be a string"),
            (False, "must be a string"),
            ([], "must be a string"),
            ({}, "must be a string"),
        ]
        for value, message in cases:
            answer = await api.post(CUSTOMERS, json={"email": "jane@example.com", name: value})
            assert error(answer) == invalid(**{name: message})
    assert await stored(database, customers) == []

    longest = {"name": "🦊" * 255, "external_id": "🦊" * 255}
    made = (await api.post(CUSTOMERS, json={"email": "jane@example.com", **longest})).json()["data"]
    assert {key: made[key] for key in longest} == longest


async def test_metadata_that_is_refused(api: httpx.AsyncClient, database: Database) -> None:
    deep = "is nested too deeply (maximum depth is 4)"
    keys = "has a key that is empty or longer than 64 characters"
    large = "is too large (maximum is 16384 bytes as JSON)"
    cases: list[tuple[Any, str]] = [
        ([], "must be an object"),
        ([1], "must be an object"),
        ("{}", "must be an object"),
        ("", "must be an object"),
        (0, "must be an object"),
        (False, "must be an object"),
        (_nested(5), deep),
        (_nested(500), deep),
        ({"a": [[[[1]]]]}, deep),
        ({"a": {"b": [{"c": {}}]}}, deep),
        ({str(n): n for n in range(51)}, "has too many keys (maximum is 50)"),
        ({"": 1}, keys),
        ({"x" * 65: 1}, keys),
        ({"a": "x" * (16 * 1024 - 7)}, large),
        ({"a": "🦊" * 4100}, large),
        ({"a": "\\" * 8200}, large),
        ({str(n): "x" * 400 for n in range(50)}, large),
    ]

    answers = [
        error(await api.post(CUSTOMERS, json={"email": "jane@example.com", "metadata": value}))
        for value, _ in cases
    ]

    assert answers == [invalid(metadata=message) for _, message in cases]
    assert await stored(database, customers) == []


async def test_metadata_at_its_limits_is_kept(api: httpx.AsyncClient) -> None:
    values: list[dict[str, Any]] = [
        _nested(4),  # type: ignore[list-item]
        {"a": [[[1]]]},
        {str(n): n for n in range(50)},
        {"x" * 64: 1, "🦊" * 64: 2},
        {"a": {str(n): n for n in range(500)}},
        {"a": "x" * (16 * 1024 - 8)},
        {"b": 1, "a": 2, "C": {"z": 1, "y": [None, True, False, "", 0, -1, 1.5, {}, []]}},
        {"$ref": 1, "a.b": 2, "a b": 3, "'\"\\": 4, "<script>": 5},
    ]
    for number, value in enumerate(values):
        response = await api.post(CUSTOMERS, json={"email": f"{number}@example.com", "metadata": value})
        metadata = response.json()["data"]["metadata"]
        assert metadata == value
        assert list(metadata) == list(value)


async def test_the_last_of_a_repeated_key_counts(api: httpx.AsyncClient) -> None:
    text = '{"email": "a@example.com", "email": "b@example.com", "metadata": {"a": 1, "b": 2, "a": 3}}'

    made = (await _post_text(api, text)).json()["data"]

    assert (made["email"], made["metadata"]) == ("b@example.com", {"a": 3, "b": 2})


async def test_numbers_json_cannot_hold_are_refused(api: httpx.AsyncClient, database: Database) -> None:
    for number in ("NaN", "Infinity", "-Infinity"):
        text = f'{{"email": "jane@example.com", "metadata": {{"a": {number}}}}}'
        assert error(await _post_text(api, text)) == BAD_REQUEST, number
    for number in ("1e400", "-1e400", "[1e999]"):
        text = f'{{"email": "jane@example.com", "metadata": {{"a": {number}}}}}'
        assert error(await _post_text(api, text)) == invalid(metadata="has a number that is too large"), (
            number
        )
    assert await stored(database, customers) == []


@pytest.mark.parametrize(
    "number", [2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**40 + 1, 7 * 10**4000 + 1]
)
async def test_integers_of_any_size_are_kept_exactly(api: httpx.AsyncClient, number: int) -> None:
    text = f'{{"email": "jane@example.com", "metadata": {{"a": [{number}]}}}}'

    made = await _post_text(api, text)

    assert made.json()["data"]["metadata"] == {"a": [number]}
    assert f'{{"a":[{number}]}}' in made.text


async def test_filters_that_are_too_long_or_cannot_be_kept(api: httpx.AsyncClient) -> None:
    long = "is too long (maximum is 255 characters)"
    for name in ("email", "external_id"):
        answers = [
            error(await api.get(f"{CUSTOMERS}?{name}={text}"))
            for text in ("x" * 256, "%00", "a%00b", "%FF", "%C3", "%ED%A0%80")
        ]
        assert answers == [invalid(**{name: long})] + [invalid(**{name: UNSTORABLE})] * 5
        longest = await api.get(CUSTOMERS, params={name: "🦊" * 255})
        assert longest.json()["meta"]["total"] == 0


async def test_no_query_string_is_a_server_error(api: httpx.AsyncClient) -> None:
    for query in (
        "&&&",
        "=",
        "%",
        "%zz",
        "email",
        "email=%",
        "email=%E",
        "a=1;b=2",
        "page",
        "cursor",
        "é=é",
        "?" * 50,
        "&" * 5000,
    ):
        response = await api.get(f"{CUSTOMERS}?{query}")
        assert response.status_code == 200, query


async def test_ids_of_another_type_or_form_are_not_found(api: httpx.AsyncClient, database: Database) -> None:
    app = (await api.get(f"/apps/{SLUG}")).json()["data"]["id"]
    for id in (
        app,
        app.replace("app_", "cus_"),
        "0",
        "-1",
        "null",
        "cus_",
        "cus_" + "z" * 26,
        "%00",
        "🦊",
    ):
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.request(method, f"{CUSTOMERS}/{id}", json={"name": "New"})
            assert error(answer) == NOT_FOUND, (method, id)
    assert len(await stored(database, apps)) == 1
