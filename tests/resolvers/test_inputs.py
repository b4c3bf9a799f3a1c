"""Inputs: which values are accepted, which are refused, and that all faults are reported together."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.types import json_text
from resolvers.apps import CreateApp, UpdateApp
from resolvers.customers import CreateCustomer, UpdateCustomer
from resolvers.errors import Faults
from resolvers.features import CreateFeature, UpdateFeature
from resolvers.inputs import UNCHANGED, Changes, Input, check, is_slug, is_storable, parse_moment, parse_uuid
from resolvers.keys import CreateKey
from resolvers.licenses import CreateLicense, RevokeLicense
from resolvers.tiers import UpdateTier
from resolvers.viewer import KeyKind
from tests.resolvers.calling import faults_of

pytestmark = pytest.mark.usefixtures("clock")

APP = {"name": "Editor", "slug": "editor"}
CUSTOMER = {"email": "ada@example.com"}
LICENSE = {"customer_id": "cus_1", "forever": True}
NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)


def faults(model: type[Input], values: Mapping[str, object], **context: object) -> list[tuple[str, str]]:
    """Return the code and field of each fault in an input, or an empty list if the input is valid."""
    try:
        check(model, values, {"http_webhooks": False, **context})
    except Faults as error:
        return faults_of(error)
    return []


def nested(depth: int) -> dict[str, Any]:
    """Return an object with `depth` levels of nesting, counting the outermost."""
    return {} if depth == 1 else {"a": nested(depth - 1)}


# Single fields


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Editor", []),
        (" ", [("BLANK", "name")]),
        ("", [("BLANK", "name")]),
        ("\u3000\n", [("BLANK", "name")]),
        (None, [("BLANK", "name")]),
        ("x" * 255, []),
        ("x" * 256, [("TOO_LONG", "name")]),
        ("\U0001f389" * 255, []),  # the limit is in characters, not bytes
        ("\U0001f389" * 256, [("TOO_LONG", "name")]),
        ("Edit\x00or", [("INVALID", "name")]),
        ("Editor\ud83c", [("INVALID", "name")]),
        (7, [("INVALID", "name")]),
        (["Editor"], [("INVALID", "name")]),
    ],
)
@pytest.mark.parametrize("model", [CreateApp, UpdateApp])
def test_name_of_an_app(model: type[Input], name: object, expected: list[tuple[str, str]]) -> None:
    assert faults(model, APP | {"name": name}, slug="editor") == expected


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("a", []),
        ("0", []),
        ("a-b--c", []),
        ("x" * 63, []),
        ("", [("BLANK", "slug")]),
        (None, [("BLANK", "slug")]),
        ("x" * 64, [("TOO_LONG", "slug")]),
        ("Editor", [("INVALID", "slug")]),
        ("-editor", [("INVALID", "slug")]),
        ("editor-", [("INVALID", "slug")]),
        ("-", [("INVALID", "slug")]),
        ("edi_tor", [("INVALID", "slug")]),
        ("edi tor", [("INVALID", "slug")]),
        (" editor", [("INVALID", "slug")]),
        ("editor\n", [("INVALID", "slug")]),
        ("editör", [("INVALID", "slug")]),
        ("\u0663", [("INVALID", "slug")]),
        ("edi\x00tor", [("INVALID", "slug")]),
        ("edi\ud800tor", [("INVALID", "slug")]),
        (5, [("INVALID", "slug")]),
    ],
)
def test_slug_of_an_app(slug: object, expected: list[tuple[str, str]]) -> None:
    assert faults(CreateApp, APP | {"slug": slug}) == expected
    if isinstance(slug, str):
        assert is_slug(slug) == (not expected)


def test_slug_never_changes() -> None:
    assert faults(UpdateApp, {}, slug="editor") == []
    assert faults(UpdateApp, {"slug": "editor"}, slug="editor") == []
    assert faults(UpdateApp, {"slug": "other"}, slug="editor") == [("INVALID", "slug")]
    assert faults(UpdateApp, {"slug": "Editor"}, slug="editor") == [("INVALID", "slug")]


@pytest.mark.parametrize(
    ("model", "field", "limit"),
    [
        (CreateApp, "description", 2_000),
        (UpdateApp, "description", 2_000),
        (CreateFeature, "description", 2_000),
        (UpdateFeature, "description", 2_000),
        (CreateCustomer, "name", 255),
        (UpdateCustomer, "name", 255),
        (CreateCustomer, "external_id", 255),
        (UpdateCustomer, "external_id", 255),
        (RevokeLicense, "reason", 500),
        (CreateKey, "name", 255),
    ],
)
def test_optional_text(model: type[Input], field: str, limit: int) -> None:
    needed_by: Mapping[type[Input], Mapping[str, object]] = {
        CreateApp: APP,
        CreateCustomer: CUSTOMER,
        CreateFeature: {"name": "Export", "slug": "export"},
        CreateKey: {"kind": KeyKind.SECRET},
    }
    needed = needed_by.get(model, {})
    invalid: list[object] = ["a\x00", "\udfff", 1, True, {}, []]

    def found(value: object) -> list[tuple[str, str]]:
        return faults(model, {**needed, field: value}, slug="editor")

    assert [found(value) for value in ("x" * limit, "é" * limit, " ", "", None)] == [[]] * 5
    for empty in ("", " ", "\t\u3000\n", " " * (limit + 1)):
        assert getattr(check(model, {**needed, field: empty}, {"slug": "editor"}), field) is None
    assert getattr(check(model, {**needed, field: " x "}, {"slug": "editor"}), field) == " x "
    assert found("x" * (limit + 1)) == [("TOO_LONG", field)]
    assert [found(value) for value in invalid] == [[("INVALID", field)]] * 6


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hooks?app=1#x",
        "https://user:word@example.com:8443/",
        "HTTPS://EXAMPLE.COM",
        "https://[::1]/hook",
        "https://bücher.example/",
        "https://localhost/" + "x" * 1_982,
    ],
)
def test_webhook_url_that_is_accepted(url: str) -> None:
    assert len(url) <= 2_000
    assert check(CreateApp, APP | {"webhook_url": url}).webhook_url == url


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com", "INVALID"),
        ("ftp://example.com", "INVALID"),
        ("javascript:alert(1)", "INVALID"),
        ("example.com/hook", "INVALID"),
        ("//example.com", "INVALID"),
        ("https://", "INVALID"),
        ("https:///hook", "INVALID"),
        ("https://exa mple.com", "INVALID"),
        ("https://example.com/\n", "INVALID"),
        ("https://example.com:99999", "INVALID"),
        ("https://example.com:x", "INVALID"),
        ("https://[::1", "INVALID"),
        ("https://example.com/\x00", "INVALID"),
        ("https://example.com/\ud800", "INVALID"),
        ("https://localhost/" + "x" * 1_983, "TOO_LONG"),
        (5, "INVALID"),
    ],
)
def test_webhook_url_that_is_refused(url: object, code: str) -> None:
    assert faults(CreateApp, APP | {"webhook_url": url}) == [(code, "webhook_url")]
    assert faults(UpdateApp, {"webhook_url": url}) == [(code, "webhook_url")]


def test_webhook_url_may_be_http_if_the_installation_allows_it() -> None:
    plain = {"webhook_url": "http://localhost:9000/hook"}

    assert faults(CreateApp, APP | plain, http_webhooks=True) == []
    assert faults(CreateApp, APP | plain, http_webhooks=False) == [("INVALID", "webhook_url")]
    assert faults(CreateApp, APP | {"webhook_url": "ftp://localhost"}, http_webhooks=True) == [
        ("INVALID", "webhook_url")
    ]


@pytest.mark.parametrize("cleared", [None, ""])
def test_webhook_url_can_be_cleared(cleared: object) -> None:
    assert check(UpdateApp, {"webhook_url": cleared}).webhook_url is None


@pytest.mark.parametrize(
    ("email", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada.L@EXAMPLE.Com\t", "Ada.L@EXAMPLE.Com"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("!#$%&*/=?^_`{|}~-@example.com", "!#$%&*/=?^_`{|}~-@example.com"),
        ("ada@localhost", "ada@localhost"),
        ("ada@corp.test", "ada@corp.test"),
        ("ada@example.invalid", "ada@example.invalid"),
        ("ada@BÜCHER.example", "ada@BÜCHER.example"),
        ("ada@bücher。example", "ada@bücher。example"),
        ("try..this..0511@docomo.ne.jp", "try..this..0511@docomo.ne.jp"),
        ("x.@ezweb.ne.jp", "x.@ezweb.ne.jp"),
        (".abc@ezweb.ne.jp", ".abc@ezweb.ne.jp"),
        ("a@exa_mple.com", "a@exa_mple.com"),
        ("a@_dmarc.example.com", "a@_dmarc.example.com"),
        ("a@[192.168.0.1]", "a@[192.168.0.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ('"quoted local"@x.example', '"quoted local"@x.example'),
        ('"a, b <c> \\"d\\" \\\\"@x.example', '"a, b <c> \\"d\\" \\\\"@x.example'),
        ("ada@😀.example", "ada@😀.example"),
        ("a" * 65 + "@example.com", "a" * 65 + "@example.com"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("日本@例え.jp", "日本@例え.jp"),
        ("e\u0301@example.com", "e\u0301@example.com"),  # stored as sent, without normalization
        ("a" * 64 + "@" + ("b" * 61 + ".") * 3 + "com", "a" * 64 + "@" + ("b" * 61 + ".") * 3 + "com"),
    ],
)
@pytest.mark.parametrize("model", [CreateCustomer, UpdateCustomer])
def test_email_is_kept_as_sent_without_the_whitespace_around_it(
    model: type[Input], email: str, stored: str
) -> None:
    assert len(email.strip()) <= 254
    assert dict(check(model, {"email": email}))["email"] == stored


@pytest.mark.parametrize(
    ("email", "code"),
    [
        (None, "BLANK"),
        ("", "BLANK"),
        (" \t\n", "BLANK"),
        ("ada", "INVALID"),
        ("@", "INVALID"),
        ("@example.com", "INVALID"),
        ("ada@", "INVALID"),
        ("ada@@example.com", "INVALID"),
        ("ada@bob@example.com", "INVALID"),
        ("ada @example.com", "INVALID"),
        ("ada@exam ple.com", "INVALID"),
        ("ada@example..com", "INVALID"),
        ("ada@.example.com", "INVALID"),
        ("ada@example.com.", "INVALID"),
        ("ada@-example.com", "INVALID"),
        ("ada@example-.com", "INVALID"),
        ("ada@bücher。。example", "INVALID"),
        ("ada@exam/ple.com", "INVALID"),
        ("ada@[192.168.0.1", "INVALID"),
        ("ada@[192.168.0.1].com", "INVALID"),
        ("ada@[]", "INVALID"),
        ("ada@[a b]", "INVALID"),
        ("ada@" + "b" * 64 + ".com", "INVALID"),
        ("Ada <ada@example.com>", "INVALID"),
        ("<ada@example.com>", "INVALID"),
        ("Jane <a@x>", "INVALID"),
        ("ada,bob@example.com", "INVALID"),
        ("ada;bob@example.com", "INVALID"),
        ("ada@example.com bob@example.com", "INVALID"),
        ("ada\u3000l@example.com", "INVALID"),
        ("ada@exam\u00a0ple.com", "INVALID"),
        ('""@example.com', "INVALID"),
        ('"ada@example.com', "INVALID"),
        ('ada"@example.com', "INVALID"),
        ('"ada" l@example.com', "INVALID"),
        ('"ada"l"@example.com', "INVALID"),
        ('"ada\\"@example.com', "INVALID"),
        ('"ada@bob"@example.com', "INVALID"),
        ("ada@example.com,bob@example.com", "INVALID"),
        ("mailto:ada@example.com", "INVALID"),
        ("ada@example.com\nBcc: eve@example.com", "INVALID"),
        ("ada\r@example.com", "INVALID"),
        ("ada\u200b@example.com", "INVALID"),
        ("\u202eada@example.com", "INVALID"),
        ("a\x00da@example.com", "INVALID"),
        ("ada\ud800@example.com", "INVALID"),
        ("a" * 64 + "@" + ("b" * 61 + ".") * 3 + "comm", "TOO_LONG"),
        ("a" * 100_000, "TOO_LONG"),
        (12, "INVALID"),
        (True, "INVALID"),
        (["ada@example.com"], "INVALID"),
    ],
)
@pytest.mark.parametrize("model", [CreateCustomer, UpdateCustomer])
def test_email_that_is_refused(model: type[Input], email: object, code: str) -> None:
    assert faults(model, {"email": email}) == [(code, "email")]


def test_email_is_required_to_create_and_not_to_update() -> None:
    assert faults(CreateCustomer, {}) == [("BLANK", "email")]
    assert faults(UpdateCustomer, {}) == []


# Metadata

METADATA_HOLDERS = pytest.mark.parametrize(
    ("model", "needed"), [(CreateCustomer, CUSTOMER), (UpdateCustomer, {}), (CreateLicense, LICENSE)]
)


def large(size: int) -> dict[str, str]:
    """Return metadata whose JSON has `size` bytes."""
    return {"a": "x" * (size - len('{"a":""}'))}


@METADATA_HOLDERS
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"plan": "team", "seats": 5, "ratio": 0.5, "trial": False, "note": None, "tags": ["a", []]},
        {f"key{number}": number for number in range(50)},
        {"x" * 64: 1},
        {"\U0001f389" * 64: 1},
        # The limit on the number of keys applies only to the top level.
        {"a": {f"key{number}": number for number in range(500)}},
        {"a": {"": 1}},
        {"a": {"x" * 100: 1}},
        nested(4),
        {"a": {"b": {"c": {"d": "scalars are not a level"}}}},
        {"a": [[[]]]},
        large(16 * 1024),
        {"a": "é" * ((16 * 1024 - 8) // 2)},
        {"n": 10**300, "m": -(2**63) - 1, "e": 1.7976931348623157e308},
        {"quote": '"\\\u2028', "__proto__": 1},
    ],
)
def test_metadata_that_is_accepted(
    model: type[Input], needed: dict[str, object], metadata: dict[str, Any]
) -> None:
    found = check(model, needed | {"metadata": metadata})

    assert json.dumps(dict(found)["metadata"]) == json.dumps(metadata)


@METADATA_HOLDERS
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([], [("INVALID", "metadata")]),
        ("{}", [("INVALID", "metadata")]),
        (0, [("INVALID", "metadata")]),
        (False, [("INVALID", "metadata")]),
        ({f"key{number}": number for number in range(51)}, [("INVALID", "metadata")]),
        ({"": 1}, [("INVALID", "metadata.")]),
        ({"x" * 65: 1}, [("INVALID", "metadata." + "x" * 64)]),
        (nested(5), [("INVALID", "metadata.a")]),
        (nested(500), [("INVALID", "metadata.a")]),
        ({"a": [[[[]]]]}, [("INVALID", "metadata.a")]),
        ({"a": [{"b": [{}]}]}, [("INVALID", "metadata.a")]),
        (large(16 * 1024 + 1), [("TOO_LONG", "metadata")]),
        ({"a": "é" * ((16 * 1024 - 8) // 2) + "x"}, [("TOO_LONG", "metadata")]),
        ({"n": math.nan}, [("INVALID", "metadata.n")]),
        ({"n": math.inf}, [("INVALID", "metadata.n")]),
        ({"n": [{"m": -math.inf}]}, [("INVALID", "metadata.n")]),
        ({"n": 10**5_000}, [("INVALID", "metadata")]),
        ({"a": "\x00"}, [("INVALID", "metadata.a")]),
        ({"a": ["\x00"]}, [("INVALID", "metadata.a")]),
        ({"a": {"\x00": 1}}, [("INVALID", "metadata.a")]),
        ({"a\x00": 1}, [("INVALID", "metadata.a\x00")]),
        ({"a": "\ud800"}, [("INVALID", "metadata.a")]),
        ({"a": {"b": "\udfff"}}, [("INVALID", "metadata.a")]),
        ({"a\ud800": 1}, [("INVALID", "metadata.a" + 3 * "\ufffd")]),
        (
            {"a": math.nan, "": 1, "fine": 1, "b": "\x00"},
            [("INVALID", "metadata.a"), ("INVALID", "metadata."), ("INVALID", "metadata.b")],
        ),
    ],
)
def test_metadata_that_is_refused(
    model: type[Input], needed: dict[str, object], metadata: object, expected: list[tuple[str, str]]
) -> None:
    assert faults(model, needed | {"metadata": metadata}) == expected


@METADATA_HOLDERS
def test_no_metadata_is_an_empty_object(model: type[Input], needed: dict[str, object]) -> None:
    assert dict(check(model, needed | {"metadata": None}))["metadata"] == {}
    if not issubclass(model, Changes):
        assert dict(check(model, needed))["metadata"] == {}


def test_changes_are_the_fields_that_were_given() -> None:
    assert check(UpdateCustomer, {}).changes() == {}
    assert check(UpdateCustomer, {"name": None, "metadata": None}).changes() == {"name": None, "metadata": {}}
    assert check(UpdateApp, {"slug": "editor", "name": "E"}, {"slug": "editor"}).changes() == {"name": "E"}


@pytest.mark.parametrize("model", [UpdateApp, UpdateCustomer, UpdateFeature, UpdateTier])
def test_a_field_that_is_left_out_has_no_value(model: type[Changes]) -> None:
    assert all(value is UNCHANGED for _, value in check(model, {}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(alphabet=st.characters(codec=None), max_size=70), JSON, max_size=6))
def test_metadata_that_is_accepted_can_be_stored(metadata: dict[str, Any]) -> None:
    found = faults(CreateCustomer, CUSTOMER | {"metadata": metadata})

    if found:
        # Responses contain the field names of faults, so these names must be encodable.
        assert all(is_storable(field.replace("\x00", "")) for _, field in found)
    else:
        text = json_text(metadata)
        assert len(text.encode()) <= 16 * 1024
        assert "\\u0000" not in text.replace("\\\\", "")
        assert json.loads(text) == metadata


# Licenses


@pytest.mark.parametrize("customer_id", [None, "", " "])
def test_license_needs_a_customer(customer_id: object) -> None:
    assert faults(CreateLicense, LICENSE | {"customer_id": customer_id}) == [("BLANK", "customer_id")]
    assert faults(CreateLicense, {"forever": True}) == [("BLANK", "customer_id")]


@pytest.mark.parametrize("customer_id", [1, "cus_\x00", "cus_\ud800"])
def test_customer_that_is_refused(customer_id: object) -> None:
    assert faults(CreateLicense, LICENSE | {"customer_id": customer_id}) == [("INVALID", "customer_id")]


UUID = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


@pytest.mark.parametrize(
    ("installation_id", "taken"),
    [
        (UUID, UUID),
        (UUID.upper(), UUID),
        (UUID.replace("-", ""), UUID),
        (UUID.replace("-", "").upper(), UUID),
        (f"{{{UUID}}}", UUID),
        (f"{{{UUID.upper()}}}", UUID),
        (f"{{{UUID.replace('-', '')}}}", UUID),
        (f"urn:uuid:{UUID}", UUID),
        (f"URN:UUID:{UUID.upper()}", UUID),
        ("00000000-0000-0000-0000-000000000000",) * 2,
        (None, None),
    ],
)
def test_installation_that_is_accepted(installation_id: object, taken: str | None) -> None:
    found = check(CreateLicense, LICENSE | {"installation_id": installation_id})

    assert found.installation_id == taken


@pytest.mark.parametrize(
    "installation_id",
    [
        "",
        "x",
        UUID.replace("-", "", 1),
        UUID.replace("-", "--"),
        UUID.replace("-", "")[:-1],
        f"{UUID.replace('-', '')}0",
        f"{{{UUID}",
        f"{UUID}}}",
        f"{{{{{UUID}}}}}",
        f"({UUID})",
        f"urn:uuid:{{{UUID}}}",
        f"{{urn:uuid:{UUID}}}",
        f"uuid:{UUID}",
        f"urn:{UUID}",
        f" {UUID}",
        f"{UUID}\n",
        UUID[:-1],
        f"{UUID}0",
        UUID.replace("8", "g"),
        UUID.replace("8", "\u0668"),
        UUID.replace("f", "\x00"),
        7,
    ],
)
def test_installation_that_is_refused(installation_id: object) -> None:
    assert faults(CreateLicense, LICENSE | {"installation_id": installation_id}) == [
        ("INVALID", "installation_id")
    ]
    if isinstance(installation_id, str):
        with pytest.raises(ValueError, match="UUID"):
            parse_uuid(installation_id)


@pytest.mark.parametrize(
    ("term", "end"),
    [
        ({"forever": True}, None),
        ({"duration_days": 1}, NOW + timedelta(days=1)),
        ({"duration_days": 36_500}, NOW + timedelta(days=36_500)),
        ({"duration_days": 30.0}, NOW + timedelta(days=30)),
        ({"expires_at": "2026-01-23T10:00:01Z"}, NOW + timedelta(seconds=1)),
        ({"expires_at": "2026-01-23T12:30:00+02:00"}, NOW + timedelta(minutes=30)),
        ({"expires_at": "2026-01-23t10:00:01.999999999z"}, NOW + timedelta(seconds=1)),
        ({"expires_at": "9999-12-31T23:59:59Z"}, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ({"expires_at": datetime(2027, 1, 1, tzinfo=UTC)}, datetime(2027, 1, 1, tzinfo=UTC)),
        ({"duration_days": 1, "forever": False}, NOW + timedelta(days=1)),
        ({"duration_days": 1, "forever": None, "expires_at": None}, NOW + timedelta(days=1)),
    ],
)
def test_term_that_is_accepted(term: dict[str, object], end: datetime | None) -> None:
    found = check(CreateLicense, {"customer_id": "cus_1", **term}).end(NOW, None)

    assert (found and found.replace(microsecond=0)) == end


ONE, TOGETHER = ("INVALID", ""), {"expires_at": "2027-01-01T00:00:00Z", "duration_days": 30, "forever": True}


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ({}, [ONE]),
        ({"forever": False}, [ONE]),
        ({"forever": None, "duration_days": None, "expires_at": None}, [ONE]),
        (TOGETHER, [ONE]),
        ({"duration_days": 30, "forever": True}, [ONE]),
        ({"duration_days": 30, "expires_at": "2027-01-01T00:00:00Z"}, [ONE]),
        ({"duration_days": 0}, [("INVALID", "duration_days")]),
        ({"duration_days": -1}, [("INVALID", "duration_days")]),
        ({"duration_days": 36_501}, [("INVALID", "duration_days")]),
        ({"duration_days": 10**30}, [("INVALID", "duration_days")]),
        ({"duration_days": "30"}, [("INVALID", "duration_days")]),
        ({"duration_days": 30.5}, [("INVALID", "duration_days")]),
        ({"duration_days": math.inf}, [("INVALID", "duration_days")]),
        ({"duration_days": math.nan}, [("INVALID", "duration_days")]),
        ({"duration_days": True}, [("INVALID", "duration_days")]),
        ({"forever": "true"}, [("INVALID", "forever")]),
        ({"forever": 1}, [("INVALID", "forever")]),
        # the current second, or earlier
        ({"expires_at": "2026-01-23T10:00:00Z"}, [("INVALID", "expires_at")]),
        ({"expires_at": "2026-01-23T10:00:00.999Z"}, [("INVALID", "expires_at")]),
        ({"expires_at": "2026-01-23T12:00:00+02:00"}, [("INVALID", "expires_at")]),
        ({"expires_at": "2000-01-01T00:00:00Z"}, [("INVALID", "expires_at")]),
        ({"expires_at": ""}, [("INVALID", "expires_at")]),
        ({"expires_at": "tomorrow"}, [("INVALID", "expires_at")]),
        ({"expires_at": 1_800_000_000}, [("INVALID", "expires_at")]),
        ({"expires_at": datetime(2027, 1, 1)}, [("INVALID", "expires_at")]),  # noqa: DTZ001
        # One fault does not hide another.
        ({"expires_at": "tomorrow", "forever": True}, [("INVALID", "expires_at"), ONE]),
    ],
)
def test_term_that_is_refused(term: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert faults(CreateLicense, {"customer_id": "cus_1", **term}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-01",
        "2027-01-01T00:00:00",
        "2027-01-01 00:00:00Z",
        "2027-01-01T00:00Z",
        "2027-01-01T00:00:00+0200",
        "2027-01-01T00:00:00+02",
        "2027-01-01T00:00:00,5Z",
        "2027-01-01T00:00:00.Z",
        "2027-01-01T00:00:00.1234567890Z",
        "2027-W01-1T00:00:00Z",
        "20270101T000000Z",
        "2027-02-29T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T00:60:00Z",
        "2027-01-01T00:00:61Z",
        "2027-01-01T00:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "+2027-01-01T00:00:00Z",
        " 2027-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z\n",
        "٢٠٢٧-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z\x00",
    ],
)
def test_text_that_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an RFC 3339|must be an existing date"):
        parse_moment(text)


@given(st.datetimes(timezones=st.timezones()))
def test_timestamp_is_converted_to_utc(moment: datetime) -> None:
    text = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

    assert parse_moment(text) == moment.astimezone(UTC)
    assert parse_moment(text).utcoffset() == timedelta(0)


# Several fields together


@pytest.mark.parametrize(
    ("model", "values", "expected"),
    [
        (CreateApp, {}, [("BLANK", "name"), ("BLANK", "slug")]),
        (
            CreateApp,
            {"name": "", "slug": "-", "description": "x" * 2_001, "webhook_url": "http://x"},
            [("BLANK", "name"), ("INVALID", "slug"), ("TOO_LONG", "description"), ("INVALID", "webhook_url")],
        ),
        (
            UpdateApp,
            {"slug": "other", "name": None, "description": 1, "webhook_url": "x"},
            [("INVALID", "slug"), ("BLANK", "name"), ("INVALID", "description"), ("INVALID", "webhook_url")],
        ),
        (
            CreateCustomer,
            {"email": "ada", "name": "x" * 256, "external_id": "\x00", "metadata": {"n": math.nan}},
            [
                ("INVALID", "email"),
                ("TOO_LONG", "name"),
                ("INVALID", "external_id"),
                ("INVALID", "metadata.n"),
            ],
        ),
        (
            UpdateCustomer,
            {"email": None, "name": [], "external_id": "x" * 256, "metadata": []},
            [("BLANK", "email"), ("INVALID", "name"), ("TOO_LONG", "external_id"), ("INVALID", "metadata")],
        ),
        (CreateLicense, {}, [("BLANK", "customer_id"), ("INVALID", "")]),
        (
            CreateLicense,
            {"installation_id": "x", "duration_days": 0, "forever": True, "metadata": 1},
            [
                ("BLANK", "customer_id"),
                ("INVALID", "installation_id"),
                ("INVALID", "duration_days"),
                ("INVALID", "metadata"),
                ("INVALID", ""),
            ],
        ),
    ],
)
def test_all_faults_of_an_input_are_reported_together(
    model: type[Input], values: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    assert faults(model, values, slug="editor") == expected


@pytest.mark.parametrize(
    ("model", "needed"),
    [
        (CreateApp, APP),
        (CreateCustomer, CUSTOMER),
        (CreateLicense, LICENSE),
        (UpdateApp, {}),
        (RevokeLicense, {}),
    ],
)
def test_unknown_fields_of_an_input_are_ignored(model: type[Input], needed: dict[str, object]) -> None:
    given = check(model, {**needed, "id": "app_1", "created_at": 5, "is_current": True}, {"slug": "editor"})

    assert given.model_fields_set == set(needed)


def test_messages_of_faults() -> None:
    with pytest.raises(Faults) as raised:
        check(CreateCustomer, {"email": "ada", "name": "x" * 256, "metadata": {"a{b}": "\x00"}})

    assert [fault.message for fault in raised.value.faults] == [
        "is not a valid address",
        "is too long (maximum is 255 characters)",
        "must not contain NUL or lone surrogates",
    ]
    assert "x" * 20 not in str(raised.value)
