"""Inputs: what a caller may send. An input is validated completely before the resolver writes anything.

Each input is one pydantic model, which declares each field once, with its description and its bounds.
GraphQL's input types (`schema.base.inputs`) and OpenAPI's request bodies are generated from these models.
`check` validates an input and raises one error with all its faults.
"""

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from db import clock
from db.emails import DOT
from db.features import SLUG
from db.types import json_text
from resolvers.errors import Fault, FaultCode, Faults

EMAIL_LENGTH = 254
NAME_LENGTH = 255
EXTERNAL_ID_LENGTH = 255
DESCRIPTION_LENGTH = 2_000
URL_LENGTH = 2_000
MAX_DURATION_DAYS = 36_500
METADATA_KEYS = 50
METADATA_KEY_LENGTH = 64
METADATA_DEPTH = 4
METADATA_BYTES = 16 * 1024

M = TypeVar("M", bound="Input")

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:)(\d\d)((?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d))", re.ASCII
)
_LEAP_DAYS = {
    date.fromisoformat(f"{year}-{day}")
    for day, years in {
        "06-30": (1972, 1981, 1982, 1983, 1985, 1992, 1993, 1994, 1997, 2012, 2015),
        "12-31": (
            1972,
            1973,
            1974,
            1975,
            1976,
            1977,
            1978,
            1979,
            1987,
            1989,
            1990,
            1995,
            1998,
            2005,
            2008,
            2016,
        ),
    }.items()
    for year in years
}
"""The days that ended with a leap second, in UTC (IERS Bulletin C). No further leap second is planned."""
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_UUID_DIGITS = f"(?:{UUID.pattern}|[0-9a-f]{{32}})"
_UUID_FORMS = re.compile(rf"(?:urn:uuid:)?{_UUID_DIGITS}|{{{_UUID_DIGITS}}}", re.IGNORECASE | re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NOT_A_MOMENT = "must be an RFC 3339 timestamp with an offset, such as 2026-01-23T10:00:00Z"
_NO_SUCH_MOMENT = "must be an existing date and time between the years 1 and 9999"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Only the mail server knows which local parts exist. The pattern only refuses characters that have a meaning
# in lists of addresses.
_LOCAL_PART = re.compile(r"""[^\s@"(),:;<>\[\]\\]+ | "(?:[^"@\\]|\\[^@])+" """, re.VERBOSE)
_LABEL = re.compile(r"(?!-)[0-9A-Za-z_\x80-\U0010ffff-]{1,63}(?<!-)")
_ADDRESS_LITERAL = re.compile(r"\[[0-9A-Za-z.:-]+\]")


class Input(BaseModel):
    """The base class of inputs. Unknown keys are ignored. A value of the wrong JSON type is a fault."""

    model_config = ConfigDict(strict=True, extra="ignore")

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        """Return faults that concern more than one field. They are reported even if single fields are wrong.

        `values` is the input as it was sent, before any check.
        """
        return ()


class _Unchanged:
    """The type of `UNCHANGED`."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Any = _Unchanged()
"""The default of every field of `Changes`: a field that is left out keeps its stored value."""


class Changes(Input):
    """An input that changes a stored object.

    Use `changes` to read it: fields that were left out are `UNCHANGED`.
    """

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given, with their new values, except fields of type `Unchanged`."""
        fields = type(self).model_fields.items()
        return {
            name: getattr(self, name)
            for name, info in fields
            if name in self.model_fields_set and not info.exclude
        }


def check(model: type[M], values: Mapping[str, object], context: Mapping[str, object] | None = None) -> M:
    """Validate an input and return it. Raises Faults with everything that is wrong.

    Faults of single fields come first, in field order. Faults of several fields together follow.
    """
    faults: list[Fault] = []
    try:
        valid = model.model_validate(values, context=context)
    except ValidationError as error:
        faults += _faults(error)
    faults += model.faults_of_the_whole(values)
    if faults:
        raise Faults(faults)
    return valid


def check_each(model: type[M], values: Mapping[str, object]) -> tuple[M, list[Fault]]:
    """Validate an input and return it with its faults, for a caller that can find more of them.

    Fields that are wrong count as left out. No field of the model is required.
    """
    faults: list[Fault] = []
    wrong: set[str] = set()
    try:
        valid = model.model_validate(values)
    except ValidationError as error:
        faults += _faults(error)
        wrong = {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
        valid = model.model_validate({name: value for name, value in values.items() if name not in wrong})
    return valid, [*faults, *model.faults_of_the_whole(values)]


def is_storable(text: str) -> bool:
    """Return whether both databases can store a text: it contains no NUL and no lone surrogate."""
    return "\x00" not in text and not _SURROGATE.search(text)


def is_slug(text: str) -> bool:
    """Return whether a text has the form of an app's slug: 1–63 of a–z, 0–9 and inner hyphens."""
    return _SLUG.fullmatch(text) is not None


def parse_day(text: str) -> date:
    """Parse a day such as 2026-01-23. Raises ValueError. The error's message says what is wrong."""
    if not _DAY.fullmatch(text):
        raise ValueError("must be a day such as 2026-01-23")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("must be an existing day between the years 1 and 9999") from None


def parse_moment(text: str) -> datetime:
    """Parse an RFC 3339 timestamp with any offset, and return it in UTC. Raises ValueError.

    The error's message says what is wrong. A leap second becomes the first second of the next day, as in
    POSIX time.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(_NOT_A_MOMENT)
    minute, second, rest = found.groups()
    is_leap = second == "60"
    try:
        moment = datetime.fromisoformat(f"{minute}{'59' if is_leap else second}{rest}".upper()).astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        raise ValueError(_NO_SUCH_MOMENT) from None
    if not is_leap:
        return moment
    if (moment.hour, moment.minute) != (23, 59) or moment.date() not in _LEAP_DAYS:
        raise ValueError(_NO_SUCH_MOMENT)
    return moment + timedelta(seconds=1)


def parse_uuid(text: str) -> str:
    """Parse a UUID and return it in its usual form: lower case, with hyphens. Raises ValueError.

    The text may be in upper case, without hyphens, in braces, or a URN (RFC 9562, section 4).
    """
    if not _UUID_FORMS.fullmatch(text):
        raise ValueError("must be a UUID such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11")
    return str(uuid.UUID(text.lower()))


def _faults(error: ValidationError) -> Iterator[Fault]:
    for detail in error.errors(include_url=False, include_context=True):
        # If a mapping's key is wrong, pydantic appends "[key]" to the path.
        field = tuple(_shown(str(part)) for part in detail["loc"] if part != "[key]")
        yield Fault(*_meaning(detail), field or detail.get("ctx", {}).get("field", ()))


def _shown(part: str) -> str:
    """Return one part of a field's path in a form that is safe to send: a metadata key may be any text."""
    return _SURROGATE.sub("\ufffd", part)[:METADATA_KEY_LENGTH]


def _meaning(detail: ErrorDetails) -> tuple[FaultCode, str]:
    match detail["type"]:
        case "missing":
            return FaultCode.BLANK, "can't be blank"
        case code if code in FaultCode.__members__:
            return FaultCode(code), detail["msg"]
        case "extra_forbidden":
            return FaultCode.INVALID, "is not known"
        case _ if detail["input"] is None:
            return FaultCode.BLANK, "can't be blank"
        # pydantic reports "too_long" instead of "string_too_long" if one of our validators runs before the
        # bound is checked.
        case "string_too_long" | "too_long":
            return FaultCode.TOO_LONG, f"is too long (maximum is {detail['ctx']['max_length']} characters)"
        case "string_type":
            return FaultCode.INVALID, "must be a string"
        case "dict_type":
            return FaultCode.INVALID, "must be an object"
        case "list_type":
            return FaultCode.INVALID, "must be a list"
        case "bool_type":
            return FaultCode.INVALID, "must be true or false"
        case "int_type" | "int_from_float" | "int_parsing":
            return FaultCode.INVALID, "must be an integer"
        case "greater_than_equal" | "less_than_equal" if "ge" in detail["ctx"] or "le" in detail["ctx"]:
            return FaultCode.INVALID, detail["msg"].replace("Input should be", "must be")
        case _:
            return FaultCode.INVALID, "is invalid"


def invalid(message: str, code: FaultCode = FaultCode.INVALID, *field: str) -> PydanticCustomError:
    """Return the error that a validator raises for a fault.

    Only validators of a whole model pass `field`. In other validators, pydantic adds the field's name.
    """
    # The message is passed as a value, so that braces in it are not read as a template.
    return PydanticCustomError(code.value, "{message}", {"message": message, "field": field})


def _storable(text: str) -> str:
    if not is_storable(text):
        raise invalid("must not contain NUL or lone surrogates")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise invalid("can't be blank", FaultCode.BLANK)
    return text


def empty_is_none(value: object) -> object:
    """Return None if the value is an empty or blank text. Return any other value unchanged."""
    return None if isinstance(value, str) and not value.strip() else value


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _is_domain(text: str) -> bool:
    if _ADDRESS_LITERAL.fullmatch(text):
        return True
    return all(_LABEL.fullmatch(label) for label in DOT.split(text))


def _email(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    if len(text) > EMAIL_LENGTH:
        raise invalid(f"is too long (maximum is {EMAIL_LENGTH} characters)", FaultCode.TOO_LONG)
    local, _, domain = text.rpartition("@")
    if not (text.isprintable() and _LOCAL_PART.fullmatch(local) and _is_domain(domain)):
        raise invalid("is not a valid address")
    return text


def _slug(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    if len(text) > 63:
        raise invalid("is too long (maximum is 63 characters)", FaultCode.TOO_LONG)
    if not is_slug(text):
        raise invalid("must be lower-case letters, digits and hyphens, with no hyphen first or last")
    return text


def _slug_with_underscores(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    if len(text) > 63:
        raise invalid("is too long (maximum is 63 characters)", FaultCode.TOO_LONG)
    if not SLUG.fullmatch(text):
        raise invalid("must be lower-case letters, digits and underscores")
    return text


def _none_is_empty(value: object) -> object:
    return {} if value is None else value


def _none_is_empty_list(value: object) -> object:
    return [] if value is None else value


def _metadata_key(key: str) -> str:
    if not 1 <= len(key) <= METADATA_KEY_LENGTH:
        raise invalid(f"has a key that is empty or longer than {METADATA_KEY_LENGTH} characters")
    return _storable(key)


def _metadata_value(value: Any) -> Any:
    _check_json(value, METADATA_DEPTH - 1)
    return value


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) > METADATA_KEYS:
        raise invalid(f"has too many keys (maximum is {METADATA_KEYS})")
    if len(json_text(value).encode()) > METADATA_BYTES:
        raise invalid(f"is too large (maximum is {METADATA_BYTES} bytes as JSON)", FaultCode.TOO_LONG)
    return value


def _check_json(value: object, depth: int) -> None:
    """Raise an error if a value cannot be stored as JSON, or is nested more than `depth` levels deep."""
    match value:
        case str():
            _storable(value)
        case float() if not math.isfinite(value):
            raise invalid("has a number that is too large")
        case dict() | list():
            if depth == 0:
                raise invalid(f"is nested too deeply (maximum depth is {METADATA_DEPTH})")
            if isinstance(value, dict):
                for key in value:
                    _storable(key)
            for member in value.values() if isinstance(value, dict) else value:
                _check_json(member, depth - 1)


def _moment(value: object) -> object:
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise invalid(_NOT_A_MOMENT)
    try:
        return parse_moment(value)
    except ValueError as error:
        raise invalid(str(error)) from None


def _day(value: object) -> object:
    try:
        return parse_day(value if isinstance(value, str) else "")
    except ValueError as error:
        raise invalid(str(error)) from None


def _in_the_future(moment: datetime) -> datetime:
    if moment.replace(microsecond=0) <= clock.now():
        raise invalid("must be in the future")
    return moment


def _without_fraction(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _uuid(text: str) -> str:
    try:
        return parse_uuid(text)
    except ValueError as error:
        raise invalid(str(error)) from None


def _unchanged(value: object, info: ValidationInfo) -> object:
    if value != (info.context or {}).get(info.field_name):
        raise invalid("cannot be changed")
    return value


WITHOUT_FRACTION = BeforeValidator(_without_fraction)
"""Makes an integer field accept 30.0, because JSON has only one kind of number. Put it after the bounds."""
Text = Annotated[str, AfterValidator(_storable)]
RequiredText = Annotated[Text, AfterValidator(_not_blank)]
Email = Annotated[
    Text,
    BeforeValidator(_trimmed),
    AfterValidator(_email),
    Field(
        description=f"Email address, at most {EMAIL_LENGTH} characters. Unique within the app. Case is "
        "ignored, and a domain in Punycode equals the same domain in Unicode.",
        json_schema_extra={"format": "email"},
    ),
]
Slug = Annotated[
    Text,
    AfterValidator(_slug),
    Field(
        description="1 to 63 characters: a-z, 0-9 and hyphens, but no hyphen at the start or end. Unique "
        "on this server. A slug never changes.",
        json_schema_extra={"minLength": 1, "maxLength": 63, "pattern": f"^{_SLUG.pattern}$"},
    ),
]
# Excluded, so that `Changes.changes()` leaves the field out: sending the current value changes nothing.
Unchanged = Annotated[str, BeforeValidator(_unchanged), Field(exclude=True)]
"""A field that may be sent but only accepts the current value, which `check` finds in its `context`."""
UnchangedSlug = Annotated[
    Unchanged,
    Field(description="Only the current slug is accepted, because a slug never changes."),
]
SlugWithUnderscores = Annotated[
    Text,
    AfterValidator(_slug_with_underscores),
    Field(
        description="1 to 63 characters: a-z, 0-9 and underscores. Unique within the app. A slug never "
        "changes.",
        json_schema_extra={"minLength": 1, "maxLength": 63, "pattern": f"^{SLUG.pattern}$"},
    ),
]
FeatureSlugs = Annotated[
    list[Text], BeforeValidator(_none_is_empty_list, json_schema_input_type=list[Text] | None)
]
Name = Annotated[
    Text,
    Field(max_length=NAME_LENGTH, description=f"Display name, at most {NAME_LENGTH} characters."),
    AfterValidator(_not_blank),
]
OptionalName = Annotated[
    Annotated[Text, Field(max_length=NAME_LENGTH)] | None,
    BeforeValidator(empty_is_none),
    Field(description=f"Display name, at most {NAME_LENGTH} characters. An empty name becomes null."),
]
ExternalId = Annotated[
    Annotated[Text, Field(max_length=EXTERNAL_ID_LENGTH)] | None,
    BeforeValidator(empty_is_none),
    Field(
        description="Your own id for the customer, for example from a payment provider or CRM. At most "
        f"{EXTERNAL_ID_LENGTH} characters, unique within the app. An empty id becomes null."
    ),
]
Description = Annotated[
    Annotated[Text, Field(max_length=DESCRIPTION_LENGTH)] | None,
    BeforeValidator(empty_is_none),
    Field(
        description=f"Description, at most {DESCRIPTION_LENGTH:,} characters. An empty description becomes "
        "null."
    ),
]
Metadata = Annotated[
    dict[Annotated[str, AfterValidator(_metadata_key)], Annotated[Any, AfterValidator(_metadata_value)]],
    BeforeValidator(_none_is_empty, json_schema_input_type=dict[str, Any] | None),
    AfterValidator(_metadata),
    Field(
        description=f"Custom data: at most {METADATA_KEYS} top-level keys, {METADATA_DEPTH} levels and "
        f"{METADATA_BYTES // 1024} KiB as JSON. Each top-level key has 1 to {METADATA_KEY_LENGTH} "
        f"characters. null becomes {{}}.",
        json_schema_extra={"maxProperties": METADATA_KEYS},
    ),
]
Days = Annotated[int, Field(ge=1, le=MAX_DURATION_DAYS), WITHOUT_FRACTION]
"""The number of days that a license is valid. Add a description."""
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Day = Annotated[date, BeforeValidator(_day)]
FutureMoment = Annotated[Moment, AfterValidator(_in_the_future)]
Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
