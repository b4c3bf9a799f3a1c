"""Settings: read from the environment and from `.env`. README.md says what each is for."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.urls import parse_url
from resolvers import master_key

_PREFIX = "LICENSEGRAPH_"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Limit = Annotated[int, Field(ge=0)]  # 0 switches it off
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["console", "json"], BeforeValidator(_lower)]


class InvalidSettings(ValueError):
    """Settings that cannot be used: all faults, one a line, each with its variable's name."""


class Settings(BaseSettings):
    """How one installation is set up. What is not handed in comes from the environment, then the default.

    `read_settings` reads `.env` as well; making the class, as tests do, does not.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        populate_by_name=True,
        extra="ignore",  # an .env file may serve other programs too
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
    introspection: bool = True
    public_keys_read_customers: bool = True
    http_webhooks: bool = False

    master_key: SecretStr | None = None
    master_key_file: Path = Path("licensegraph.key")
    rsa_bits: int = Field(4_096, ge=2_048, le=16_384, multiple_of=8)  # OpenSSL verifies nothing larger
    issuer: str = Field("license-server", min_length=1)
    rotation_limit: Limit = 2_000

    log_level: LogLevel = "info"
    log_format: LogFormat = "console"

    @field_validator("database_url")
    @classmethod
    def _is_understood(cls, url: SecretStr) -> SecretStr:
        parse_url(url.get_secret_value())
        return url

    @field_validator("master_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            master_key.parse(key.get_secret_value())
        return key


def read_settings(**given: Any) -> Settings:
    """Read the settings from the environment and `.env`. What is given and not None overrides both.

    Raises InvalidSettings.
    """
    try:
        return Settings(
            _env_file=".env", **{name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        raise InvalidSettings("\n".join(map(_fault, error.errors(include_input=False)))) from None
    except UnicodeDecodeError:
        raise InvalidSettings(".env: is not UTF-8 text") from None
    except OSError as error:
        raise InvalidSettings(f".env: {error.strerror}") from None


def variable_of(field: str) -> str:
    """The environment variable that a field of Settings is read from."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{_PREFIX}{field.upper()}"


def _fault(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    variable = variable_of(name) if name in Settings.model_fields else name
    message = detail["msg"].removeprefix("Value error, ").removeprefix(f"{variable} ")
    return f"{variable}: {message}"
