"""Origins: their form, the errors about them, and how they are compared."""

import pytest

from resolvers.errors import Faults
from resolvers.inputs import Input, check
from resolvers.origins import Origins, is_among, parse_origin


class Fenced(Input):
    origins: Origins | None = None


def checked(*origins: str) -> list[str] | None:
    return check(Fenced, {"origins": list(origins)}).origins


def message(origins: object) -> str:
    with pytest.raises(Faults) as caught:
        check(Fenced, {"origins": origins})
    (fault,) = caught.value.faults
    assert (fault.code, fault.field) == ("INVALID", ("origins",))
    return fault.message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://portal.example", "https://portal.example"),
        ("HTTPS://Portal.EXAMPLE", "https://portal.example"),
        ("https://portal.example:443", "https://portal.example"),
        ("https://portal.example:0443", "https://portal.example"),
        ("https://portal.example:8443", "https://portal.example:8443"),
        ("https://portal.example:80", "https://portal.example:80"),
        ("http://localhost", "http://localhost"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://localhost", "https://localhost"),
        ("https://10.0.0.1", "https://10.0.0.1"),
        ("https://[2001:DB8:0::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
        ("https://a_b.example", "https://a_b.example"),
        ("https://*.preview.example", "https://*.preview.example"),
        ("https://*.preview.example:8443", "https://*.preview.example:8443"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, expected: str) -> None:
    assert checked(given) == [expected]


FORM = "must have the form https://portal.example or https://portal.example:8443, without a path"
WILDCARD = "can have one * only, as the whole first label, such as https://*.portal.example"
HOST = "must have a valid host name"
ADDRESS = "must have a valid address as its host"
TLS = "must begin with https:// (http:// is for localhost and 127.0.0.1 only)"
PORT = "must have a port between 1 and 65535"
PUNYCODE = "must be in ASCII: write an international domain in Punycode (xn--…)"


@pytest.mark.parametrize(
    ("origin", "wrong"),
    [
        ("https://portal.example/", FORM),
        ("https://portal.example/path", FORM),
        ("https://portal.example?a=1", FORM),
        ("https://portal.example#a", FORM),
        ("https://jane@portal.example", FORM),
        ("https://portal.example:", HOST),
        ("portal.example", FORM),
        ("//portal.example", FORM),
        ("ftp://portal.example", FORM),
        ("file://", FORM),
        ("https://", FORM),
        ("", FORM),
        (" https://portal.example", FORM),
        ("https://portal.example ", HOST),
        ("https://portal.example\n", HOST),
        ("https://portal.example:0", PORT),
        ("https://portal.example:65536", PORT),
        ("https://portal.example:x", HOST),
        ("*", "does not name a site"),
        ("null", "does not name a site"),
        ("https://*", WILDCARD),
        ("https://*.*.example", WILDCARD),
        ("https://a.*.example", WILDCARD),
        ("https://a*.example", WILDCARD),
        ("https://*a.example", WILDCARD),
        ("https://*.", HOST),
        ("https://*.10.0.0.1", ADDRESS),
        ("https://*.[::1]", HOST),
        ("https://portal.example.", HOST),
        ("https://portal..example", HOST),
        ("https://-portal.example", HOST),
        ("https://por tal.example", HOST),
        (f"https://{'a' * 64}.example", HOST),
        ("https://10.0.0.256", ADDRESS),
        ("https://1", ADDRESS),
        ("https://0x7f.1", ADDRESS),
        ("https://[::1", ADDRESS),
        ("https://[x]", ADDRESS),
        ("http://portal.example", TLS),
        ("http://*.localhost", TLS),
        ("http://a.localhost", TLS),
        ("http://127.0.0.2", TLS),
        ("http://[::1]", TLS),
        ("https://münchen.example", PUNYCODE),
        ("https://portal\u3002example", PUNYCODE),
    ],
)
def test_an_error_names_the_origin_and_says_what_is_wrong_with_it(origin: str, wrong: str) -> None:
    assert message([origin]) == f'has an origin that is not valid: "{origin}" {wrong}'


def test_all_wrong_origins_are_named_together() -> None:
    said = message(["https://a.example", "http://b.example", "https://c.example/x"])

    assert said == (
        f'has an origin that is not valid: "http://b.example" {TLS}; "https://c.example/x" {FORM}'
    )


def test_an_error_shortens_long_origins_and_replaces_bad_characters() -> None:
    long = "https://" + "a" * 1_000 + "/"

    assert message([long]) == f'has an origin that is not valid: "{long[:100]}…" {FORM}'
    assert message(["https://a\0b.example"]).startswith('has an origin that is not valid: "https://a\ufffdb')
    assert message(["\ud800"]).startswith('has an origin that is not valid: "?"')


def test_a_key_has_1_to_20_origins_without_repeats() -> None:
    origins = [f"https://{number}.portal.example" for number in range(20)]

    assert checked(*origins) == origins
    assert checked("https://a.example", "https://b.example", "https://A.example:443") == [
        "https://a.example",
        "https://b.example",
    ]
    assert message([*origins, "https://20.portal.example"]) == "has too many origins (maximum is 20)"
    assert message([]) == "needs at least one origin; null allows every origin"
    assert message("https://portal.example") == "must be a list"
    assert check(Fenced, {"origins": None}).origins is None


@pytest.mark.parametrize(
    ("origin", "is_one"),
    [
        ("https://portal.example", True),
        ("https://portal.example:8443", False),
        ("http://portal.example", False),
        ("https://portal.example.evil.example", False),
        ("https://a.portal.example", False),
        ("https://a.preview.example", True),
        ("https://pr-1_x.preview.example", True),
        ("https://preview.example", False),
        ("https://a.b.preview.example", False),
        ("https://.preview.example", False),
        ("https://a.preview.example:8443", False),
        ("http://a.preview.example", False),
        ("https://evil.example/.preview.example", False),
        ("https://evil@a.preview.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_star_stands_for_exactly_one_label(origin: str, is_one: bool) -> None:
    assert is_among(origin, {"https://portal.example", "https://*.preview.example"}) is is_one


def test_parsing_an_origin_twice_changes_nothing() -> None:
    for text in ("HTTPS://[::1]:443", "https://*.Preview.example:8443", "http://LOCALHOST:80"):
        assert parse_origin(parse_origin(text)) == parse_origin(text)
