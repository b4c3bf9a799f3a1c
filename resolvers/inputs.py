"""Inputs: what a writer may hand in, checked wholly before the store is touched.

One pydantic model an input, shared by every door; its JSON schema is the request body in the OpenAPI
document. `check` runs a model and raises every fault of an input at once.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import email_validator
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
from db.features import SLUG
from db.types import json_text
from resolvers.errors import Fault, FaultCode, Faults

EMAIL_LENGTH = 254
NAME_LENGTH = 255
EXTERNAL_ID_LENGTH = 255
DESCRIPTION_LENGTH = 2_000
URL_LENGTH = 2_000
METADATA_KEYS = 50
METADATA_KEY_LENGTH = 64
METADATA_DEPTH = 4
METADATA_BYTES = 16 * 1024

M = TypeVar("M", bound="Input")

# Reserved domains (localhost, corp.test) are people's own business. This list is the library's way to say so.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_NUMERIC = re.compile(r"-?[0-9]{1,18}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Input(BaseModel):
    """An input. Keys it does not know are ignored; a value of another JSON type is a fault."""

    model_config = ConfigDict(strict=True, extra="ignore")

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        """Faults that lie in no field alone, looked for whatever else is wrong. `values` are not checked."""
        return ()


def check(model: type[M], values: Mapping[str, object], context: Mapping[str, object] | None = None) -> M:
    """Validate an input. Raises Faults with all that is wrong, in the model's order."""
    faults: list[Fault] = []
    try:
        valid = model.model_validate(values, context=context)
    except ValidationError as error:
        faults += _faults(error)
    faults += model.faults_of_the_whole(values)
    if faults:
        raise Faults(faults)
    return valid


def is_storable(text: str) -> bool:
    """Whether a text can be kept by both databases: no NUL and no lone surrogate."""
    return "\x00" not in text and not _SURROGATE.search(text)


def is_slug(text: str) -> bool:
    """Whether a text has the form of an app's slug: 1–63 of a–z, 0–9 and inner hyphens."""
    return _SLUG.fullmatch(text) is not None


def parse_moment(text: str) -> datetime:
    """A moment as RFC 3339 writes it, with any offset, in UTC. Raises ValueError with what is wrong."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("must be an RFC 3339 timestamp with an offset, such as 2026-01-23T10:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a moment of the calendar between the years 1 and 9999") from None


def parse_uuid(text: str) -> str:
    """A UUID in its usual form, letters lower. Raises ValueError with what is wrong."""
    if not UUID.fullmatch(text):
        raise ValueError("must be a UUID such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11")
    return text.lower()


def _faults(error: ValidationError) -> Iterator[Fault]:
    for detail in error.errors(include_url=False, include_context=True):
        # pydantic marks a fault of a mapping's key with a last part of its own.
        field = tuple(_shown(str(part)) for part in detail["loc"] if part != "[key]")
        yield Fault(*_meaning(detail), field)


def _shown(part: str) -> str:
    """A part of a path as it can be answered: a metadata key may be anything at all."""
    return _SURROGATE.sub("\ufffd", part)[:METADATA_KEY_LENGTH]


def _meaning(detail: ErrorDetails) -> tuple[FaultCode, str]:
    match detail["type"]:
        case "missing":
            return FaultCode.BLANK, "can't be blank"
        case code if code in FaultCode.__members__:
            return FaultCode(code), detail["msg"]
        case _ if detail["input"] is None:
            return FaultCode.BLANK, "can't be blank"
        # The second is the same of a text that a validator of ours has seen before the bound.
        case "string_too_long" | "too_long":
            return FaultCode.TOO_LONG, f"is too long (maximum is {detail['ctx']['max_length']} characters)"
        case "string_type":
            return FaultCode.INVALID, "must be a string"
        case "dict_type":
            return FaultCode.INVALID, "must be an object"
        case "list_type":
            return FaultCode.INVALID, "must be a list"
        case "int_type" | "int_from_float" | "int_parsing":
            return FaultCode.INVALID, "must be an integer"
        case "greater_than_equal" | "less_than_equal" if "ge" in detail["ctx"] or "le" in detail["ctx"]:
            return FaultCode.INVALID, detail["msg"].replace("Input should be", "must be")
        case _:
            return FaultCode.INVALID, "is invalid"


def invalid(message: str, code: FaultCode = FaultCode.INVALID) -> PydanticCustomError:
    """A fault found by a validator, to be raised there."""
    # The message is passed as a value: braces in it must not be taken for a template.
    return PydanticCustomError(code.value, "{message}", {"message": message})


def _storable(text: str) -> str:
    if not is_storable(text):
        raise invalid("must not contain NUL or lone surrogates")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise invalid("can't be blank", FaultCode.BLANK)
    return text


def empty_is_none(value: object) -> object:
    """Take an empty text as one that was not given."""
    return None if value == "" else value


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _email(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    if len(text) > EMAIL_LENGTH:
        raise invalid(f"is too long (maximum is {EMAIL_LENGTH} characters)", FaultCode.TOO_LONG)
    try:
        # Undotted domains are people's own business, and so is what the mail system beyond makes of the
        # local part.
        email_validator.validate_email(text, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        raise invalid("is not a valid address") from None
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def _slug(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    if len(text) > 63:
        raise invalid("is too long (maximum is 63 characters)", FaultCode.TOO_LONG)
    if not is_slug(text):
        raise invalid("must be lower-case letters, digits and inner hyphens")
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


def _none_is_no_list(value: object) -> object:
    return [] if value is None else value


def _metadata_key(key: str) -> str:
    if not 1 <= len(key) <= METADATA_KEY_LENGTH:
        raise invalid(f"has a key that is not 1 to {METADATA_KEY_LENGTH} characters long")
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
    """Refuse what JSON cannot hold, and objects and arrays nested deeper than `depth`."""
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
    if not isinstance(value, str):
        return value
    try:
        return parse_moment(value)
    except ValueError as error:
        raise invalid(str(error)) from None


def _in_the_future(moment: datetime) -> datetime:
    if moment.replace(microsecond=0) <= clock.now():
        raise invalid("must be in the future")
    return moment


def _uuid(text: str) -> str:
    try:
        return parse_uuid(text)
    except ValueError as error:
        raise invalid(str(error)) from None


def _numeric(value: object) -> object:
    return int(value) if isinstance(value, str) and _NUMERIC.fullmatch(value) else value


def _unchanged(slug: object, info: ValidationInfo) -> object:
    if slug != (info.context or {}).get("slug"):
        raise invalid("cannot be changed")
    return slug


Text = Annotated[str, AfterValidator(_storable)]
RequiredText = Annotated[Text, AfterValidator(_not_blank)]
Email = Annotated[
    Text, BeforeValidator(_trimmed), AfterValidator(_email), Field(json_schema_extra={"format": "email"})
]
Slug = Annotated[
    Text,
    AfterValidator(_slug),
    Field(json_schema_extra={"minLength": 1, "maxLength": 63, "pattern": f"^{_SLUG.pattern}$"}),
]
UnchangedSlug = Annotated[str, BeforeValidator(_unchanged)]
"""The slug as it is, which the context of the check holds: it never changes, but may be handed in."""
SlugWithUnderscores = Annotated[
    Text,
    AfterValidator(_slug_with_underscores),
    Field(json_schema_extra={"minLength": 1, "maxLength": 63, "pattern": f"^{SLUG.pattern}$"}),
]
FeatureSlugs = Annotated[list[Text], BeforeValidator(_none_is_no_list)]
Name = Annotated[Text, Field(max_length=NAME_LENGTH), AfterValidator(_not_blank)]
OptionalName = Annotated[
    Annotated[Text, Field(max_length=NAME_LENGTH)] | None, BeforeValidator(empty_is_none)
]
ExternalId = Annotated[
    Annotated[Text, Field(max_length=EXTERNAL_ID_LENGTH)] | None, BeforeValidator(empty_is_none)
]
Description = Annotated[
    Annotated[Text, Field(max_length=DESCRIPTION_LENGTH)] | None, BeforeValidator(empty_is_none)
]
Metadata = Annotated[
    dict[Annotated[str, AfterValidator(_metadata_key)], Annotated[Any, AfterValidator(_metadata_value)]],
    BeforeValidator(_none_is_empty),
    AfterValidator(_metadata),
    Field(json_schema_extra={"maxProperties": METADATA_KEYS}),
]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
FutureMoment = Annotated[Moment, AfterValidator(_in_the_future)]
Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
NUMERIC = BeforeValidator(
    _numeric, json_schema_input_type=int | Annotated[str, Field(pattern=f"^{_NUMERIC.pattern}$")]
)
"""Beside an integer's type: it may come as a numeric string."""
