"""`DATABASE_URL`: a SQLite file, or a PostgreSQL URL as hosting providers write it.

The parts of a PostgreSQL URL have the same meaning as in libpq.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode

_TLS_REQUIRED = ("require", "verify-ca", "verify-full")
_ALLOWED = {
    "sslmode": ("disable", "allow", "prefer", *_TLS_REQUIRED),
    "sslnegotiation": ("postgres", "direct"),
    # Neon's URLs have this, but asyncpg does not support it
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer"),
    "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8"),
}
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 32_767, "keepalives_interval": 32_767}
_KEEPALIVE |= {"keepalives_count": 127, "tcp_user_timeout": 2**31 - 1}
_MAXIMUM = _KEEPALIVE | {"connect_timeout": 2**31 - 1}
_FILES = ("sslrootcert", "sslcert", "sslkey")
_ARGUMENTS = ("user", "password", "database", "passfile", "target_session_attrs")
_NAMES = ("application_name", "fallback_application_name")
_ALIASES = {"dbname": "database", "ssl": "sslmode"}
_KNOWN = {*_ALLOWED, *_MAXIMUM, *_FILES, *_ARGUMENTS, *_NAMES, "sslpassword", "host", "port", "options"}
_HOST = r"(?:\[[^\[\]]+\]|[^:@\[\],/?]*)(?::[0-9]*)?"
_NAME = re.compile(r"(?s)/.*|(?:[^.]{1,63}\.)*[^.]{0,63}")  # the folder of a socket, or a DNS name
_PARTS = re.compile(rf"(?s)(?:([^:@/]*)(?::([^@/]*))?@)?({_HOST}(?:,{_HOST})*)(?:/([^?]*))?(?:\?(.*))?")
_SETTING = r"\s*(?:-c\s*|--)([A-Za-z_][A-Za-z0-9_.]*)=((?:\\.|[^\\\s])*)(?!\S)"


class InvalidDatabaseUrl(ValueError):
    """`DATABASE_URL` is invalid.

    The message is one line. The message may name the scheme or an option, but never shows a value from the
    URL.
    """


@dataclass(frozen=True)
class DatabaseUrl:
    """A parsed URL: the path of a SQLite file, or the options of a PostgreSQL connection.

    `settings` and `keepalive` override our own defaults.
    """

    is_sqlite: bool
    path: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)  # arguments for asyncpg.connect
    settings: dict[str, str] = field(default_factory=dict)  # settings of each session
    # The keys are libpq's names. For `keepalives`, 0 means off. For the other parameters, 0 means the
    # system's default.
    keepalive: dict[str, int] = field(default_factory=dict)


def parse_url(text: str) -> DatabaseUrl:
    """Parse ``sqlite:///file.db`` or ``postgresql://user@host/database``. Raises InvalidDatabaseUrl."""
    scheme, found, rest = text.partition("://")
    path, _, query = rest.partition("/")[2].partition("?")
    match scheme.partition("+")[0] if found else "":
        case "sqlite" if query or path in {"", ":memory:"}:
            raise InvalidDatabaseUrl("must name a file, and no options: sqlite:///licensegraph.db")
        case "sqlite":
            return DatabaseUrl(is_sqlite=True, path=path)
        case "postgresql" | "postgres" if "%00" not in rest and (parts := _PARTS.fullmatch(rest)):
            return _postgresql(_parameters(*parts.groups("")))
        case other if re.fullmatch(r"(?a)(?!postgres)\w+", other):
            raise InvalidDatabaseUrl(f"cannot be {other}: use sqlite:///file.db or postgresql://…")
    raise InvalidDatabaseUrl("is not a URL: write sqlite:///file.db or postgresql://user@host/database")


def _parameters(user: str, password: str, netloc: str, database: str, query: str) -> dict[str, str]:
    """Return the URL's parameters by libpq's names (but `database` for `dbname`), each checked separately.

    If a parameter is given several times, the last value counts. An empty value counts as absent.
    """
    found = re.findall(r"(?:^|,)(?:\[(.*?)\]|([^:,]*))(?::([0-9]*))?", netloc)
    host, port = ",".join(v6 or name for v6, name, _ in found), ",".join(each[2] for each in found)
    given = {"user": user, "password": password, "host": host, "port": port, "database": database}
    for each in query.split("&") if query else ():
        name, _, value = each.partition("=")
        given[_ALIASES.get(name, name)] = "require" if each == "ssl=true" else value
    # A ? or & in a password that is not percent-encoded makes a part of the password look like a name. The
    # query then contains an @ or `password=`, and the name is not shown.
    for name in sorted(given.keys() - _KNOWN):
        shown = f": {name}" if name.isidentifier() and not re.search("@|password=", query) else ""
        raise InvalidDatabaseUrl(f"has an option that is not understood{shown}")
    given = {name: unquote(value) for name, value in given.items() if value}
    for name, value in given.items():
        if name in _ALLOWED and value not in _ALLOWED[name]:
            raise InvalidDatabaseUrl(f"{name} must be one of {', '.join(_ALLOWED[name])}")
        if name in _MAXIMUM and not (re.fullmatch("[0-9]{1,10}", value) and int(value) <= _MAXIMUM[name]):
            raise InvalidDatabaseUrl(f"{name} must be a number from 0 to {_MAXIMUM[name]}")
        if name in _FILES and not os.access(value, os.R_OK) and value != "system":
            raise InvalidDatabaseUrl(f"{name} must be a file that can be read")
    return given


def _postgresql(given: dict[str, str]) -> DatabaseUrl:
    hosts, ports = (given.get(name, "").split(",") for name in ("host", "port"))
    numbers = [int(port or 5432) if re.fullmatch("[0-9]{0,5}", port) else 0 for port in ports]
    if "" in hosts[1:] or len(ports) not in {1, len(hosts)} or not all(0 < each < 65_536 for each in numbers):
        raise InvalidDatabaseUrl("port must be a number up to 65535, or one for each host")
    if not all(map(_NAME.fullmatch, hosts)):
        raise InvalidDatabaseUrl("host must be a name, an address, or the folder of a socket")
    tls = {name: given[name] for name in ("sslmode", "sslpassword", *_FILES) if name in given}
    # true if the operating system's trusted certificates are used
    system = "system" in map(tls.get, _FILES)
    if system and tls != {"sslmode": "verify-full", "sslrootcert": "system"}:
        raise InvalidDatabaseUrl("sslrootcert=system needs sslmode=verify-full, and no sslcert")
    for name, value in (("channel_binding", "require"), ("sslnegotiation", "direct")):
        if given.get(name) == value and given.get("sslmode") not in _TLS_REQUIRED:
            raise InvalidDatabaseUrl(f"{name}={value} needs sslmode to be one of {', '.join(_TLS_REQUIRED)}")
    text = given.get("options", "")
    settings = {name.lower(): re.sub(r"\\(.)", r"\1", value) for name, value in re.findall(_SETTING, text)}
    if not re.fullmatch(rf"(?:{_SETTING})*\s*", text) or "client_encoding" in settings:
        raise InvalidDatabaseUrl("options must be written -c name=value, and cannot set client_encoding")
    names = (given.get(_NAMES[0]), settings.pop(_NAMES[0], ""), given.get(_NAMES[1]))
    options = {name: given.get(name) for name in _ARGUMENTS} | {
        "dsn": None if system else f"postgresql://?{urlencode(tls, quote_via=quote)}",
        "host": hosts if hosts[0] else None,
        "port": numbers if any(ports) else None,
        "ssl": system or None,
        "direct_tls": given["sslnegotiation"] == "direct" if "sslnegotiation" in given else None,
        "timeout": int(given.get("connect_timeout", 0)),
        "server_settings": {"application_name": next(filter(None, names), "licensegraph")},
    }
    return DatabaseUrl(False, "", options, settings, {n: int(given[n]) for n in _KEEPALIVE.keys() & given})
