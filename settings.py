"""Settings, read from the environment and from `.env`. README.md describes each of them."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from asgi.clients import LOOPBACK, networks
from db.urls import parse_url
from resolvers import master_key
from resolvers.origins import parse_origin

_PREFIX = "LICENSEGRAPH_"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _origins(value: object) -> object:
    """Parse a list of origins, separated by commas.

    `*` stands for every origin, and `off` for no CORS at all.
    """
    if not isinstance(value, str) or value.strip().lower() in {"*", "off"}:
        return value.strip().lower() if isinstance(value, str) else value
    return [parse_origin(each.strip()) for each in value.split(",") if each.strip()]


Limit = Annotated[int, Field(ge=0)]  # 0 means no limit
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
CorsOrigins = Annotated[Literal["*", "off"] | tuple[str, ...], NoDecode, BeforeValidator(_origins)]
LogFormat = Annotated[Literal["console", "json"], BeforeValidator(_lower)]


class InvalidSettings(ValueError):
    """The settings are invalid.

    The message has one line per error. Each line begins with the name of the variable, or with `.env`.
    """


class Settings(BaseSettings):
    """The settings of one installation. Values that are not passed come from the environment or the defaults.

    `read_settings` also reads `.env`; constructing the class, as tests do, does not.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        populate_by_name=True,
        extra="ignore",  # an .env file may contain settings of other programs
        frozen=True,
        hide_input_in_errors=True,  # the URL may hold a password
    )

    host: str = Field("127.0.0.1", validation_alias="HOST", min_length=1)
    port: int = Field(4000, validation_alias="PORT", ge=0, le=65_535)
    path_prefix: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    database_url: SecretStr = Field(SecretStr("sqlite:///licensegraph.db"), validation_alias="DATABASE_URL")
    pool_size: int = Field(10, ge=2)
    transaction_pooling: bool = False
    statement_timeout_s: Limit = 10
    lock_timeout_s: Limit = 5

    max_connections: Limit = 1_000
    keep_alive_s: Limit = 75
    header_timeout_s: Limit = 20
    body_timeout_s: Limit = 30
    send_timeout_s: Limit = 30

    max_header_bytes: Limit = 65_536
    max_body_bytes: Limit = 1_048_576
    max_tokens: Limit = 5_000
    max_depth: Limit = 15
    max_aliases: Limit = 100
    max_root_fields: Limit = 50
    max_cost: Limit = 20_000
    rate_limit_per_minute: Limit = 600
    verify_limit_per_minute: Limit = 100
    batch_limit_per_minute: Limit = 20
    renewal_limit_per_minute: Limit = 20
    refused_limit_per_minute: Limit = 60
    budget_burst: Limit = 100_000
    budget_per_second: Limit = 5_000
    trusted_proxies: str = LOOPBACK
    introspection: bool = True
    public_keys_read_customers: bool = True
    http_webhooks: bool = False
    idempotency_hours: int = Field(24, ge=1, le=720)
    cors_origins: CorsOrigins = ()

    master_key: SecretStr | None = None
    master_key_file: Path = Path("licensegraph.key")
    # OpenSSL cannot verify signatures of larger keys
    rsa_bits: int = Field(4_096, ge=2_048, le=16_384, multiple_of=8)
    issuer: str = Field("license-server", min_length=1)
    rotation_limit: Limit = 2_000
    renewal_grace_days: int = Field(60, ge=0, le=36_500)

    event_days: int = Field(400, ge=0, le=36_500)
    expiring_days: int = Field(7, ge=0, le=36_500)
    note_verifications: bool = True

    log_level: LogLevel = "info"
    log_format: LogFormat = "console"

    @field_validator("database_url")
    @classmethod
    def _is_understood(cls, url: SecretStr) -> SecretStr:
        parse_url(url.get_secret_value())
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks(text)
        return text

    @field_validator("master_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            master_key.parse(key.get_secret_value())
        return key


def read_settings(**given: Any) -> Settings:
    """Read the settings from the environment and `.env`. Arguments that are not None override them.

    Raises InvalidSettings.
    """
    try:
        return Settings(
            _env_file=".env", **{name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        raise InvalidSettings("\n".join(map(_fault, error.errors(include_input=False)))) from None
    except UnicodeDecodeError:
        raise InvalidSettings(".env: not UTF-8 text") from None
    except OSError as error:
        raise InvalidSettings(f".env: {error.strerror}") from None


def unknown_variables() -> Mapping[str, str | None]:
    """Return the variables with our prefix that are not settings, each with the most similar setting or None.

    Call this after `read_settings`, which reports errors in `.env`.
    """
    fields = Settings.model_fields
    known = {*map(variable_of, fields), *(_PREFIX + field.upper() for field in fields)}
    given = {name.upper() for name in (*os.environ, *dotenv_values(".env"))}
    unknown = sorted(name for name in given - known if name.startswith(_PREFIX))
    return {name: _nearest(name.removeprefix(_PREFIX).lower()) for name in unknown}


def _nearest(field: str) -> str | None:
    found = get_close_matches(field, Settings.model_fields, n=1)
    return variable_of(found[0]) if found else None


def variable_of(field: str) -> str:
    """Return the name of the environment variable for a field of Settings."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{_PREFIX}{field.upper()}"


def _fault(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    variable = variable_of(name) if name in Settings.model_fields else name
    message = detail["msg"].removeprefix("Value error, ").removeprefix(f"{variable} ")
    return f"{variable}: {message}"
