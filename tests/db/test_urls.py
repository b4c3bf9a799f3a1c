"""`DATABASE_URL`: what hosting providers issue means what libpq says; the rest is refused in one line."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import make_url

from db.engine import Database, StoreUnavailable
from db.statements import Query
from db.urls import InvalidDatabaseUrl, parse_url

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
NOT_A_URL = "is not a URL: write sqlite:///file.db or postgresql://user@host/database"


def address(url: str) -> dict[str, Any]:
    """Where SQLAlchemy has asyncpg connect to."""
    parsed = parse_url(url)
    assert parsed.url.drivername == "postgresql+asyncpg"
    arguments: dict[str, Any] = PGDialect_asyncpg().create_connect_args(parsed.url)[1]
    return arguments


def tls(url: str) -> dict[str, Any]:
    """What asyncpg is told of TLS, of files and of kinds of servers."""
    arguments = dict(parse_url(url).connect_args)
    said = dict(parse_qsl(arguments["dsn"].removeprefix("postgresql://?")))
    return said | ({"ssl": arguments["ssl"]} if "ssl" in arguments else {})


def server_settings(options: str) -> dict[str, str]:
    settings: dict[str, str] = parse_url(f"postgresql://h/db?{options}").connect_args["server_settings"]
    return settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (  # Heroku
            "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1",
            {
                "user": "u",
                "password": "p",
                "host": "ec2-1-2-3-4.compute-1.amazonaws.com",
                "port": 5432,
                "database": "d1",
            },
        ),
        (  # Neon
            "postgresql://u:p@ep-cool-fog-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
            {
                "user": "u",
                "password": "p",
                "host": "ep-cool-fog-1.aws.neon.tech",
                "database": "neondb",
            },
        ),
        (  # Supabase
            "postgresql://postgres.abc:p%40%3A%2F@aws-0-eu-west-1.pooler.supabase.com:6543/postgres",
            {
                "user": "postgres.abc",
                "password": "p@:/",
                "host": "aws-0-eu-west-1.pooler.supabase.com",
                "port": 6543,
                "database": "postgres",
            },
        ),
        (  # Azure, whose users have had an @
            "postgresql+psycopg2://me@server:p@server.postgres.database.azure.com/db?sslmode=require",
            {
                "user": "me@server",
                "password": "p",
                "host": "server.postgres.database.azure.com",
                "database": "db",
            },
        ),
        (
            "postgresql+psycopg://u@h1:5433,h2,[::1]:5434/db",
            {"user": "u", "host": ["h1", "h2", "::1"], "port": [5433, 5432, 5434], "database": "db"},
        ),
        ("postgresql:///?host=h1,h2&port=5433", {"host": ["h1", "h2"], "port": [5433, 5433]}),
        ("postgresql:///?host=h1,h2&port=1,2", {"host": ["h1", "h2"], "port": [1, 2]}),
        ("postgresql+asyncpg://[fe80::1]:5433/db", {"host": "fe80::1", "port": 5433, "database": "db"}),
        ("postgresql:///db?host=/run/pg", {"host": "/run/pg", "port": 5432, "database": "db"}),
        ("postgresql://%2Frun%2Fpg:5433/db", {"host": "/run/pg", "port": 5433, "database": "db"}),
        ("postgresql:///db%20b", {"database": "db b"}),
        ("postgresql://", {}),
        (
            "postgresql://a:b@c:1/d?user=u&password=p+%26&host=h&port=2&dbname=x",
            {"user": "u", "password": "p+&", "host": "h", "port": 2, "database": "x"},
        ),
        ("postgresql://u:p/#w@h/db", {"user": "u", "password": "p/#w", "host": "h", "database": "db"}),
        ("postgresql://h:5432/db?user=u%40s", {"user": "u@s", "host": "h", "port": 5432, "database": "db"}),
    ],
)
def test_where_and_who(url: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPORT", raising=False)

    assert address(url) == expected
    assert not parse_url(url).is_sqlite


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {}),
        *((f"sslmode={mode}", {"sslmode": mode}) for mode in ("disable", "allow", "prefer", "require")),
        *((f"sslmode={mode}", {"sslmode": mode}) for mode in ("verify-ca", "verify-full")),
        ("ssl=true", {"sslmode": "require"}),
        ("channel_binding=prefer&gssencmode=disable", {}),
        ("channel_binding=require", {"sslmode": "require"}),
        ("channel_binding=require&sslmode=verify-ca", {"sslmode": "verify-ca"}),
        ("sslnegotiation=direct", {"sslmode": "require", "sslnegotiation": "direct"}),
        ("sslrootcert=system", {"sslmode": "verify-full", "ssl": True}),
        (
            f"sslrootcert={__file__}&sslcert={__file__}&sslkey={__file__}&sslpassword=a%2Bb",
            {"sslrootcert": __file__, "sslcert": __file__, "sslkey": __file__, "sslpassword": "a+b"},
        ),
        ("ssl_min_protocol_version=TLSv1.3", {"ssl_min_protocol_version": "TLSv1.3"}),
        (
            "target_session_attrs=read-write&passfile=/a%20b",
            {"target_session_attrs": "read-write", "passfile": "/a b"},
        ),
    ],
)
def test_what_asyncpg_reads_itself(options: str, expected: dict[str, Any]) -> None:
    assert tls(f"postgresql://h/db?{options}") == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("client_encoding=utf8", {}),
        ("application_name=mine+1&fallback_application_name=other", {"application_name": "mine+1"}),
        ("fallback_application_name=other", {"application_name": "other"}),
        ("options=-c%20search_path%3Da,b", {"search_path": "a,b"}),
        (
            "options=-cwork_mem%3D8MB%20--lock-timeout%3D1s%20%20-c%20datestyle%3DISO,%5C%20MDY",
            {"work_mem": "8MB", "lock_timeout": "1s", "datestyle": "ISO, MDY"},
        ),
        (
            "options=endpoint%3Dep-cool-fog-123456%20-c%20geqo%3Doff",
            {"options": "endpoint=ep-cool-fog-123456", "geqo": "off"},
        ),
    ],
)
def test_settings_of_the_session(options: str, expected: dict[str, str]) -> None:
    assert server_settings(options) == expected


@pytest.mark.parametrize(
    ("options", "timeout", "socket_options"),
    [
        ("", None, {}),
        ("connect_timeout=0&keepalives=0", None, {"SO_KEEPALIVE": 0}),
        (
            "connect_timeout=3&keepalives=1&keepalives_idle=30&keepalives_interval=0",
            3,
            {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 30},
        ),
        (
            "keepalives_interval=4&keepalives_count=5&tcp_user_timeout=6000",
            None,
            {"TCP_KEEPINTVL": 4, "TCP_KEEPCNT": 5, "TCP_USER_TIMEOUT": 6000},
        ),
    ],
)
def test_how_long_a_connection_is_waited_for(
    options: str, timeout: int | None, socket_options: dict[str, int]
) -> None:
    parsed = parse_url(f"postgresql://h/db?{options}")

    assert parsed.connect_args.get("timeout") == timeout
    assert parsed.socket_options == socket_options


ENCRYPTED = "require, verify-ca, verify-full"
SERVERS = "any, read-write, read-only, primary, standby, prefer-standby"
MODES = f"disable, allow, prefer, {ENCRYPTED}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("pgbouncer=true", "has an option that is not supported: 'pgbouncer'"),
        ("password=sec&ret=", "has an option that is not supported: it follows a password"),
        ("hostaddr=127.0.0.1", "has an option that is not supported: 'hostaddr'"),
        ("service=mine", "has an option that is not supported: 'service'"),
        ("require_auth=none", "has an option that is not supported: 'require_auth'"),
        ("a%0Ab=1", r"has an option that is not supported: 'a\nb'"),
        ("sslmode=require&sslmode=disable", "has the option sslmode twice"),
        ("ssl=true&sslmode=disable", "has the option sslmode twice"),
        ("sslmode=", f"has a wrong sslmode: it may be {MODES}"),
        ("sslmode=REQUIRE", f"has a wrong sslmode: it may be {MODES}"),
        ("sslnegotiation=no", "has a wrong sslnegotiation: it may be postgres, direct"),
        ("channel_binding=yes", "has a wrong channel_binding: it may be disable, prefer, require"),
        ("gssencmode=require", "has a wrong gssencmode: it may be disable, prefer"),
        (
            "target_session_attrs=master",
            f"has a wrong target_session_attrs: it may be {SERVERS}",
        ),
        ("client_encoding=LATIN1", "has a wrong client_encoding: it may be UTF8, UTF-8, utf8, utf-8, auto"),
        ("connect_timeout=1.5", "has a wrong connect_timeout: it may be a whole number"),
        ("keepalives_idle=-1", "has a wrong keepalives_idle: it may be a whole number"),
        ("sslrootcert=/no/such.pem", "has a wrong sslrootcert: it may be a file that can be read"),
        ("sslkey=system", "has a wrong sslkey: it may be a file that can be read"),
        (
            "channel_binding=require&sslmode=prefer",
            f"has channel_binding=require, with which sslmode may be {ENCRYPTED}",
        ),
        (
            "sslnegotiation=direct&sslmode=allow",
            f"has sslnegotiation=direct, with which sslmode may be {ENCRYPTED}",
        ),
        (
            "sslrootcert=system&sslmode=require",
            "has sslrootcert=system, with which sslmode may be verify-full",
        ),
        (
            f"sslrootcert=system&sslcert={__file__}",
            "has sslrootcert=system, with which no other file may be named",
        ),
        ("options=-d5", "has wrong options: they may be -c name=value"),
        ("options=-c%20geqo", "has wrong options: they may be -c name=value"),
        ("port=x", "has a wrong port: it may be a number up to 65535, or one for each host"),
        ("port=65536", "has a wrong port: it may be a number up to 65535, or one for each host"),
        ("port=1,2", "has a wrong port: it may be a number up to 65535, or one for each host"),
        ("host=a,,b", "has a wrong host: it may be a name, an address or a folder, or several"),
        ("host=a..b", "has a wrong host: it may be a name, an address or a folder, or several"),
        ("user=%00", NOT_A_URL),
        ("user=a@b", "has an @ too many: in a password and in options it is written %40"),
    ],
)
def test_option_that_is_not_understood(options: str, said: str) -> None:
    with pytest.raises(InvalidDatabaseUrl) as raised:
        parse_url(f"postgresql://u:secret@h/db?{options}")

    assert str(raised.value) == f"DATABASE_URL {said}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", NOT_A_URL),
        ("licensegraph.db", NOT_A_URL),
        ("postgresql:u:secret@h/db", NOT_A_URL),
        ("postgresql://u:secret@[::1/db", NOT_A_URL),
        (
            "postgresql://u:1/?a=1&secret=@h/db",
            "has an @ too many: in a password and in options it is written %40",
        ),
        (
            "postgresql://u:sec@ret?x=1@h/db",
            "has an @ too many: in a password and in options it is written %40",
        ),
        ("sqlite://", "must name a file: sqlite:///licensegraph.db"),
        ("sqlite:///:memory:", "must name a file: sqlite:///licensegraph.db"),
        ("sqlite:///file.db?mode=ro", "takes no options behind a SQLite file's name"),
        ("sqlite://h:port/file.db", NOT_A_URL),
        ("mysql://u:secret@h/db", "cannot be mysql: use sqlite:///file.db or postgresql://…"),
        ("https://example.com/file.db", "cannot be https: use sqlite:///file.db or postgresql://…"),
    ],
)
def test_url_that_is_not_understood(url: str, said: str) -> None:
    with pytest.raises(InvalidDatabaseUrl) as raised:
        parse_url(url)

    assert str(raised.value) == f"DATABASE_URL {said}"


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
def test_sqlite_by_every_name(scheme: str) -> None:
    parsed = parse_url(f"{scheme}:////var/lib/my file.db")

    assert parsed.is_sqlite
    assert parsed.url == make_url("sqlite+aiosqlite:////var/lib/my file.db")
    assert (parsed.connect_args, parsed.socket_options) == ({}, {})


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(user=TEXTS, password=TEXTS, database=TEXTS)
def test_what_is_percent_encoded_arrives(user: str, password: str, database: str) -> None:
    encoded = [quote(text, safe="") for text in (user, password, database)]

    found = address("postgresql://{}:{}@h/{}".format(*encoded))
    by_options = address("postgresql://h/?user={}&password={}&dbname={}".format(*encoded))

    assert found == by_options == {"host": "h", "user": user, "password": password, "database": database}


@given(
    before=st.sampled_from(["", "mysql", "sqlite", "postgres", "postgresql", "postgresql+asyncpg"]),
    head=st.text("ab:/@?&=%[],#", max_size=8),
    tail=st.text("ab:/@?&=%[],#", max_size=8),
    after=st.text("ab1:/@?&=%[],", max_size=20),
    by_option=st.booleans(),
)
def test_no_message_and_no_repr_shows_the_password(
    before: str, head: str, tail: str, after: str, by_option: bool
) -> None:
    password = f"{head}Geheim{tail}"
    url = f"{before}://h/?password={password}{after}" if by_option else f"{before}://u:{password}@{after}"

    try:
        said = repr(parse_url(url)) if before != "sqlite" else str(parse_url(url).is_sqlite)
    except InvalidDatabaseUrl as error:
        said = str(error)

    assert "Geheim" not in said
    assert len(said.splitlines()) == 1


# On a real server


@asynccontextmanager
async def forwarded(url: str, first: list[bytes]) -> AsyncIterator[int]:
    """A port of 127.0.0.1 that leads to the server of `url`. `first` gets how connections begin."""
    path = f"{make_url(url).query['host']}/.s.PGSQL.5432"

    connections: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65_536):
                writer.write(part)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.readexactly(8)
        first.append(start)
        from_server, to_server = await asyncio.open_unix_connection(path)
        to_server.write(start)
        await asyncio.gather(pump(reader, to_server), pump(from_server, writer))

    server = await asyncio.start_server(
        lambda *streams: connections.append(asyncio.create_task(forward(*streams))), "127.0.0.1"
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*connections)


async def ask(url: str, sql: str) -> str:
    database = Database(url)
    try:
        async with database.read() as session:
            return str((await session.rows(Query(sql, ()), {}))[0][0])
    finally:
        await database.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2"])
async def test_settings_arrive_at_the_server(postgresql_url: str, scheme: str) -> None:
    url = f"{postgresql_url.replace('postgresql', scheme, 1)}&application_name=mine&options=-c%20geqo%3Doff"

    assert await ask(url, "SELECT current_setting('application_name')") == "mine"
    assert await ask(url, "SELECT current_setting('geqo')") == "off"
    assert await ask(url, "SELECT current_setting('jit')") == "off", "ours, beside those of the URL"


@pytest.mark.parametrize(
    ("options", "asks_for_tls", "is_refused"),
    [
        ("", True, False),
        ("sslmode=disable", False, False),
        ("sslmode=allow", False, False),
        ("sslmode=prefer&channel_binding=prefer", True, False),
        ("sslmode=require", True, True),
        ("channel_binding=require", True, True),
    ],
)
async def test_tls_as_the_url_asks_for_it(
    postgresql_url: str, options: str, asks_for_tls: bool, is_refused: bool
) -> None:
    first: list[bytes] = []
    async with forwarded(postgresql_url, first) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{make_url(postgresql_url).database}?{options}"
        try:
            said = await ask(url, "SELECT 'yes'")
        except StoreUnavailable:  # this server has no TLS
            said = "no"

    assert (said == "no") is is_refused
    assert (first[0] == SSL_REQUEST) is asks_for_tls


async def test_of_several_hosts_one_that_answers_is_taken(postgresql_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    name = make_url(postgresql_url).database
    async with forwarded(postgresql_url, []) as port:
        hosts = f"127.0.0.1:{nobody},127.0.0.1:{port}"
        by_options = f"host={tmp_path},127.0.0.1&port={nobody},{port}&target_session_attrs=read-write"

        assert await ask(f"postgresql://postgres@{hosts}/{name}", "SELECT current_database()") == name
        assert (
            await ask(f"postgresql:///{name}?user=postgres&{by_options}", "SELECT current_database()") == name
        )


async def test_socket_is_set_as_the_url_says(postgresql_url: str) -> None:
    async with forwarded(postgresql_url, []) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{make_url(postgresql_url).database}"
        said = []
        for options in ("", "?keepalives_idle=77&tcp_user_timeout=9000", "?keepalives=0"):
            database = Database(url + options)
            async with database.engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                found = driver._transport.get_extra_info("socket")
                said.append(
                    (
                        found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                        found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                        found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                    )
                )
            await database.close()

    assert said == [(1, 10, 0), (1, 77, 9000), (0, 10, 0)]
