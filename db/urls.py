"""`DATABASE_URL`, read into what SQLAlchemy's asyncio engine and asyncpg take.

A PostgreSQL URL means what it means to libpq. asyncpg hands options that it does not know to the server,
which refuses them in words of its own: here every option is known, or refused by its name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError

_NOT_A_URL = "is not a URL: write sqlite:///file.db or postgresql://user@host/database"
# make_url reads no list of hosts. Like make_url this takes "/" in a password, unless libpq would see a port.
_PARTS = re.compile(
    r"(?:(?P<user>[^:/]*)(?::(?P<password>(?![0-9]*/)[^@]*))?@)?"
    r"(?P<rest>(?P<hosts>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<options>.*))?)"
)
_NAME = re.compile(r"[\w:%-]{1,63}(?:\.[\w:%-]{1,63})*\.?")  # of a host, or its address
_HOST = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]*))(?::(.*))?")
_SETTING = re.compile(r"(?<!\S)(?:-c\s*|--)([\w.-]+)=((?:\\.|[^\\\s])*)(?:\s+|$)", re.ASCII)
_ROUTE = re.compile(r"(?:\w+=[\w.-]+(?:\s+|$))*", re.ASCII)  # for a proxy: endpoint=ep-cool-fog

_ENCRYPTED = ("require", "verify-ca", "verify-full")
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", *_ENCRYPTED),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer"),
    "client_encoding": ("UTF8", "UTF-8", "utf8", "utf-8", "auto"),
}
_SYSTEM = "sslrootcert=system"  # the certificates that the system trusts
_MODES_FOR = {  # the values of sslmode that go with an option; where none is given, it is the first
    _SYSTEM: ("verify-full",),
    "channel_binding=require": _ENCRYPTED,
    "sslnegotiation=direct": _ENCRYPTED,
}
_FOR_SOCKET = {
    "keepalives": "SO_KEEPALIVE",
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
_FOR_ASYNCPG = (*list(_CHOICES)[:5], *_TLS_FILES, "sslpassword", "passfile")
_NAMES = ("application_name", "fallback_application_name")
_PLACES = ("host", "port", "user", "password", "dbname")
_KNOWN = {*_CHOICES, *_FOR_SOCKET, *_FOR_ASYNCPG, *_NAMES, *_PLACES, "options", "connect_timeout"}


class InvalidDatabaseUrl(ValueError):
    """`DATABASE_URL` is not one that this project understands. One line says why, and shows no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"DATABASE_URL {reason}")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where the database is, for ``create_async_engine(url, connect_args=connect_args)``.

    `socket_options` are numbers by the constants of `socket` (TCP_KEEPIDLE), for the socket of a connection.
    """

    is_sqlite: bool
    url: URL
    connect_args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    socket_options: Mapping[str, int] = field(default_factory=dict)


def parse_url(text: str) -> DatabaseUrl:
    """What `DATABASE_URL` says. Raises InvalidDatabaseUrl."""
    scheme, separator, rest = text.partition("://")
    backend = scheme.partition("+")[0]
    if not separator or not re.fullmatch(r"\w+", backend) or "%00" in text:
        raise InvalidDatabaseUrl(_NOT_A_URL)
    if backend == "sqlite":
        return DatabaseUrl(is_sqlite=True, url=_sqlite(text))
    if backend not in {"postgresql", "postgres"}:
        raise InvalidDatabaseUrl(f"cannot be {backend}: use sqlite:///file.db or postgresql://…")
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise InvalidDatabaseUrl(_NOT_A_URL)
    if "@" in parts["rest"]:
        raise InvalidDatabaseUrl("has an @ too many: in a password and in options it is written %40")
    options = _options(parts["options"] or "")
    connect_args: dict[str, Any] = {"server_settings": _server_settings(options)}
    if options.get("sslrootcert") == "system":
        connect_args["ssl"] = True  # asyncpg's word for it
        del options["sslrootcert"]
        if options.keys() & {*_TLS_FILES}:
            raise InvalidDatabaseUrl(f"has {_SYSTEM}, with which no other file may be named")
    if int(options.get("connect_timeout", 0)):
        connect_args["timeout"] = int(options["connect_timeout"])
    # asyncpg takes more in a URL than by keyword, and keywords go before it.
    connect_args["dsn"] = f"postgresql://?{urlencode({n: options[n] for n in _FOR_ASYNCPG if n in options})}"
    numbers = {option: int(options[name]) for name, option in _FOR_SOCKET.items() if name in options}
    return DatabaseUrl(
        is_sqlite=False,
        url=_address(parts, options),
        connect_args=connect_args,
        socket_options={name: number for name, number in numbers.items() if number or name == "SO_KEEPALIVE"},
    )


def _sqlite(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise InvalidDatabaseUrl(_NOT_A_URL) from None
    if url.query:
        raise InvalidDatabaseUrl("takes no options behind a SQLite file's name")
    if not url.database or url.database == ":memory:":
        raise InvalidDatabaseUrl("must name a file: sqlite:///licensegraph.db")
    return url.set(drivername="sqlite+aiosqlite")


def _options(text: str) -> dict[str, str]:
    """The options of a PostgreSQL URL, each of them known, and of a value that it may have."""
    options: dict[str, str] = {}
    for part in filter(None, text.split("&")):
        name, _, value = (unquote(each) for each in part.partition("="))
        if (name, value) == ("ssl", "true"):  # what JDBC has for it, which libpq takes as well
            name, value = "sslmode", "require"
        if name not in _KNOWN:
            is_secret = "password" in options or "sslpassword" in options  # & should have been %26
            shown = "it follows a password" if is_secret else ascii(name[:40])
            raise InvalidDatabaseUrl(f"has an option that is not supported: {shown}")
        if name in options:
            raise InvalidDatabaseUrl(f"has the option {name} twice")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InvalidDatabaseUrl(f"has a wrong {name}: it may be {', '.join(_CHOICES[name])}")
        if name in (*_FOR_SOCKET, "connect_timeout") and not re.fullmatch("[0-9]{1,9}", value):
            raise InvalidDatabaseUrl(f"has a wrong {name}: it may be a whole number")
        if name in _TLS_FILES and f"{name}={value}" != _SYSTEM and not os.access(value, os.R_OK):
            raise InvalidDatabaseUrl(f"has a wrong {name}: it may be a file that can be read")
        options[name] = value
    for needing, modes in _MODES_FOR.items():
        name, _, value = needing.partition("=")
        if options.get(name) == value and options.setdefault("sslmode", modes[0]) not in modes:
            raise InvalidDatabaseUrl(f"has {needing}, with which sslmode may be {', '.join(modes)}")
    return options


def _server_settings(options: Mapping[str, str]) -> dict[str, str]:
    """What ``options=-c name=value`` sets for a session, and the name of the application."""
    text = options.get("options", "")
    settings = {
        name.replace("-", "_"): re.sub(r"\\(.)", r"\1", value) for name, value in _SETTING.findall(text)
    }
    route = _SETTING.sub("", text).strip()
    if not _ROUTE.fullmatch(route):
        raise InvalidDatabaseUrl("has wrong options: they may be -c name=value")
    application = options.get("application_name") or options.get("fallback_application_name")
    named = {"options": route, "application_name": application}
    return settings | {name: value for name, value in named.items() if value}


def _address(parts: re.Match[str], options: Mapping[str, str]) -> URL:
    """Hosts, user and database. Options go before what is said elsewhere in the URL."""
    found = [_HOST.fullmatch(each) for each in parts["hosts"].split(",")]
    hosts = [unquote(each[1] or each[2]) for each in found if each is not None]
    if len(hosts) < len(found):
        raise InvalidDatabaseUrl(_NOT_A_URL)
    ports = [each[3] or "" for each in found if each is not None]
    hosts = options["host"].split(",") if options.get("host") else hosts
    ports = options["port"].split(",") if options.get("port") else ports
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts) or not all(map(_is_port, ports)):
        raise InvalidDatabaseUrl("has a wrong port: it may be a number up to 65535, or one for each host")
    if hosts != [""] and not all(each.startswith("/") or _NAME.fullmatch(each) for each in hosts):
        raise InvalidDatabaseUrl("has a wrong host: it may be a name, an address or a folder, or several")
    url = URL.create(
        "postgresql+asyncpg",
        username=options.get("user") or unquote(parts["user"] or "") or None,
        password=options.get("password") or unquote(parts["password"] or "") or None,
        database=options.get("dbname") or unquote(parts["dbname"] or "") or None,
    )
    if len(hosts) == 1 and not hosts[0].startswith("/"):
        return url.set(host=hosts[0] or None, port=int(ports[0]) if ports[0] else None)
    default = os.environ.get("PGPORT", "5432")  # SQLAlchemy wants all ports of a list
    return url.set(query={"host": ",".join(hosts), "port": ",".join(each or default for each in ports)})


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and 0 < int(text) <= 65_535)
