"""`DATABASE_URL`: its options mean the same as in libpq, and invalid ones get a clear message."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from db.accounts import accounts
from db.engine import Database, StoreUnavailable
from db.urls import DatabaseUrl, InvalidDatabaseUrl, parse_url

ATTRIBUTES = "any, primary, standby, prefer-standby, read-write, read-only"
SURE = "require, verify-ca, verify-full"

with socket.socket() as _fresh:
    IDLE = _fresh.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)  # the operating system's default


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, **options)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def on_tcp(url: str) -> AsyncIterator[int]:
    """Yield a TCP port on 127.0.0.1 that forwards to the server, which only listens on a Unix socket."""
    folder = parse_url(url).options["host"][0]
    forwarding = set[asyncio.Task[None]]()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while part := await source.read(65_536):
                target.write(part)
        target.close()
        with suppress(ConnectionError):
            await target.wait_closed()

    async def forward(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, requests = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        forwarding.update(map(asyncio.create_task, (copy(client, requests), copy(server, answers))))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]
        await asyncio.gather(*forwarding)


async def settings_of(url: str, *names: str, **options: Any) -> tuple[Any, ...]:
    """Return a session's settings, as the server reports them."""
    async with opened(url, **options) as database, database.read() as session:
        return tuple(await session.row(select(*map(func.current_setting, names)), {}) or ())


def refusal(url: str) -> str:
    with pytest.raises(InvalidDatabaseUrl) as raised:
        parse_url(url)
    return str(raised.value)


# URL schemes, SQLite paths and invalid URLs


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
async def test_common_forms_of_sqlite_urls(sqlite_url: str, scheme: str) -> None:
    async with opened(sqlite_url.replace("sqlite", scheme, 1)) as database, database.read() as session:
        assert database.is_sqlite
        assert await session.rows(select(accounts.c.id), {}) == []


@pytest.mark.parametrize(
    "scheme",
    ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2", "postgresql+psycopg"],
)
async def test_common_forms_of_postgresql_urls(postgresql_url: str, scheme: str) -> None:
    url = postgresql_url.replace("postgresql", scheme, 1)
    async with opened(url) as database, database.read() as session:
        assert not database.is_sqlite
        assert await session.rows(select(accounts.c.id), {}) == []


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///file.db", "file.db"),
        ("sqlite:////var/lib/file.db", "/var/lib/file.db"),
        ("sqlite:///a%20b#c.db", "a%20b#c.db"),
    ],
)
def test_path_of_sqlite_is_taken_literally(url: str, path: str) -> None:
    assert parse_url(url) == DatabaseUrl(is_sqlite=True, path=path)


NOT_A_URL = "is not a URL: write sqlite:///file.db or postgresql://user@host/database"
NO_FILE = "must name a file, and no options: sqlite:///licensegraph.db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", NOT_A_URL),
        ("licensegraph.db", NOT_A_URL),
        ("sqlite", NOT_A_URL),
        ("postgresql", NOT_A_URL),
        ("postgresql://u:hunter2@[::1/db", NOT_A_URL),
        ("postgresql://u:hun/ter2@host/db", NOT_A_URL),
        ("postgresql://u:hunter%00@host/db", NOT_A_URL),
        ("sqlite://", NO_FILE),
        ("sqlite:///:memory:", NO_FILE),
        ("sqlite:///file.db?mode=ro", NO_FILE),
        (
            "mysql://root:hunter2@localhost/licenses",
            "cannot be mysql: use sqlite:///file.db or postgresql://…",
        ),
        ("https://example.com/licensegraph.db", "cannot be https: use sqlite:///file.db or postgresql://…"),
    ],
)
def test_invalid_url(url: str, said: str) -> None:
    assert refusal(url) == said


# PostgreSQL: hosts, users and passwords


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("u:p@h/db", {"user": "u", "password": "p", "host": ["h"], "port": None, "database": "db"}),
        ("h", {"user": None, "password": None, "host": ["h"], "port": None, "database": None}),
        ("", {"user": None, "host": None, "port": None, "database": None}),
        ("u:a%40b%2Fc%3A%25+d#e@h/my%20db", {"password": "a@b/c:%+d#e", "host": ["h"], "database": "my db"}),
        ("u:50?off@h/db", {"password": "50?off", "host": ["h"], "database": "db"}),
        ("h/db?password=a%26b+c", {"password": "a&b+c"}),
        ("u@[2001:db8::1]:5433/db", {"host": ["2001:db8::1"], "port": [5433]}),
        ("[::1]", {"host": ["::1"], "port": None}),
        ("u@h1:5432,h2:5433/db", {"user": "u", "host": ["h1", "h2"], "port": [5432, 5433], "database": "db"}),
        ("h1,[::1]:5433", {"host": ["h1", "::1"], "port": [5432, 5433]}),
        ("/db?host=h1,h2&port=5433", {"host": ["h1", "h2"], "port": [5433]}),
        ("/db?host=h1,h2&port=5433,5434", {"host": ["h1", "h2"], "port": [5433, 5434]}),
        ("u@/db?host=/var/run/postgresql", {"user": "u", "host": ["/var/run/postgresql"], "port": None}),
        ("%2Fvar%2Frun%2Fpostgresql/db", {"host": ["/var/run/postgresql"], "database": "db"}),
        ("u@h:1/db?user=me@tenant&host=other&port=2&dbname=mine", {"user": "me@tenant", "host": ["other"]}),
        ("h:1/db?port=2&dbname=mine", {"host": ["h"], "port": [2], "database": "mine"}),
        ("h/db?passfile=/etc/pgpass", {"passfile": "/etc/pgpass"}),
        ("h/db?target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("h/db?connect_timeout=3", {"timeout": 3}),
        ("h/db?connect_timeout=0", {"timeout": 0}),
        ("h/db?user=&sslmode=", {"user": None, "dsn": "postgresql://?"}),
        ("h/db?sslmode=require&sslnegotiation=direct", {"direct_tls": True}),
        ("h/db?sslmode=verify-full&sslrootcert=system", {"ssl": True, "dsn": None}),
    ],
)
def test_arguments_of_asyncpg(rest: str, expected: dict[str, object]) -> None:
    options = parse_url(f"postgres://{rest}").options

    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ("sslmode=require&channel_binding=require", {"sslmode": ["require"]}),
        ("ssl=true", {"sslmode": ["require"]}),
        ("ssl=verify-full", {"sslmode": ["verify-full"]}),
        ("sslmode=disable&gssencmode=prefer&channel_binding=prefer", {"sslmode": ["disable"]}),
        ("sslmode=verify-ca&sslpassword=a%26b", {"sslmode": ["verify-ca"], "sslpassword": ["a&b"]}),
        ("client_encoding=UTF8", {}),
    ],
)
def test_options_of_tls(query: str, passed: dict[str, list[str]]) -> None:
    """asyncpg reads these options only from a URL, so it gets a URL that contains nothing else."""
    dsn = urlsplit(parse_url(f"postgres://u:p@h/db?{query}").options["dsn"])

    assert (dsn.netloc, dsn.path, parse_qs(dsn.query)) == ("", "", passed)


def test_files_of_tls_must_exist(tmp_path: Path) -> None:
    file = tmp_path / "my root.crt"
    url = f"postgres://h/db?sslmode=verify-full&sslrootcert={quote(str(file))}"

    assert refusal(url) == "sslrootcert must be a file that can be read"
    file.touch()
    assert parse_qs(urlsplit(parse_url(url).options["dsn"]).query)["sslrootcert"] == [str(file)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=on", "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslnegotiation=tls", "sslnegotiation must be one of postgres, direct"),
        ("sslnegotiation=direct", f"sslnegotiation=direct needs sslmode to be one of {SURE}"),
        ("channel_binding=yes", "channel_binding must be one of disable, prefer, require"),
        ("channel_binding=require", f"channel_binding=require needs sslmode to be one of {SURE}"),
        (
            "sslmode=prefer&channel_binding=require",
            f"channel_binding=require needs sslmode to be one of {SURE}",
        ),
        ("gssencmode=require", "gssencmode must be one of disable, prefer"),
        ("sslrootcert=system", "sslrootcert=system needs sslmode=verify-full, and no sslcert"),
        ("client_encoding=latin1", "client_encoding must be one of utf8, UTF8, utf-8, UTF-8"),
        ("connect_timeout=soon", "connect_timeout must be a number from 0 to 2147483647"),
        ("connect_timeout=-1", "connect_timeout must be a number from 0 to 2147483647"),
        ("keepalives=2", "keepalives must be a number from 0 to 1"),
        ("keepalives_count=128", "keepalives_count must be a number from 0 to 127"),
        (
            "target_session_attrs=any2",
            f"target_session_attrs must be one of {ATTRIBUTES}",
        ),
        ("port=0", "port must be a number up to 65535, or one for each host"),
        ("port=65536", "port must be a number up to 65535, or one for each host"),
        ("port=abc", "port must be a number up to 65535, or one for each host"),
        ("host=a,b,c&port=1,2", "port must be a number up to 65535, or one for each host"),
        ("host=a..b", "host must be a name, an address, or the folder of a socket"),
        ("host=a,.b", "host must be a name, an address, or the folder of a socket"),
        (f"host={'a' * 64}.example", "host must be a name, an address, or the folder of a socket"),
        ("options=endpoint%3Dx", "options must be written -c name=value, and cannot set client_encoding"),
        (
            "options=-cClient_Encoding%3Dlatin1",
            "options must be written -c name=value, and cannot set client_encoding",
        ),
        ("pgbouncer=true", "has an option that is not understood: pgbouncer"),
        ("sslmode=require&statement_timeout=", "has an option that is not understood: statement_timeout"),
        ("password=hun&ter2=", "has an option that is not understood"),
        ("hunter%202=1", "has an option that is not understood"),
        ("hunter\n2=1", "has an option that is not understood"),
        ("sslmode=require&", "has an option that is not understood"),
    ],
)
def test_unknown_option(query: str, said: str) -> None:
    assert refusal(f"postgresql://u:secret@h/db?{query}") == said


texts = st.text(st.characters(codec="utf-8") | st.sampled_from("@:/?&=%"), max_size=8)
queries = st.sampled_from(
    ["", "sslmode=on", "port=x", "foo=1", "sslmode", "channel_binding=require", "options=x", "sslcert=x"]
)


@given(
    before=texts, after=texts, query=queries, raw=st.booleans(), netloc=st.sampled_from(["h", "h:x", "[h"])
)
def test_no_message_holds_the_password(before: str, after: str, query: str, raw: bool, netloc: str) -> None:
    """Neither raw nor percent-encoded passwords appear in messages."""
    password = f"{before}hunter2{after}"
    text = password if raw else quote(password, safe="")
    for url in (
        f"postgresql://u:{text}@{netloc}/db?{query}",
        f"postgresql://{netloc}/db?password={text}&{query}",
        f"postgresql://{netloc}/db?sslpassword={text}&{query}",
        f"mysql://u:{text}@{netloc}/db?{query}",
        f"u:{text}@{netloc}/db?{query}",
    ):
        try:
            said = repr(parse_url(url))
        except InvalidDatabaseUrl as error:
            said = str(error)
        assert "hunter2" not in said
        assert len(said.splitlines()) == 1


@given(password=texts, other=texts)
def test_every_part_may_be_percent_encoded(password: str, other: str) -> None:
    user, secret, database = (quote(each, safe="") for each in (f"u{other}", f"p{password}", f"d{other}"))

    for url in (
        f"postgresql://{user}:{secret}@h/{database}",
        f"postgresql://h?user={user}&password={secret}&dbname={database}",
    ):
        if "\0" in password + other:
            assert refusal(url) == NOT_A_URL
        else:
            options = parse_url(url).options
            found = (options["user"], options["password"], options["database"])
            assert found == (f"u{other}", f"p{password}", f"d{other}")


# PostgreSQL: options that reach the server


async def test_session_is_named(postgresql_url: str) -> None:
    named = {
        "": "licensegraph",
        "&application_name=shop": "shop",
        "&fallback_application_name=shop": "shop",
        "&options=-c%20application_name%3Dshop&fallback_application_name=other": "shop",
        "&application_name=shop&options=-c%20application_name%3Dother": "shop",
    }

    for query, name in named.items():
        assert await settings_of(postgresql_url + query, "application_name") == (name,)


@pytest.mark.parametrize("pooled", [False, True])
async def test_settings_of_the_url_override_our_own(postgresql_url: str, pooled: bool) -> None:
    options = quote(r"-c jit=on  --statement_timeout=7s -cshop.name=it\'s\ \\mine")
    names = ("jit", "statement_timeout", "shop.name", "plan_cache_mode")

    found = await settings_of(f"{postgresql_url}&options={options}", *names, pooled=pooled)

    assert found == ("on", "7s", r"it's \mine", "force_generic_plan")


async def test_the_next_host_is_tried_if_one_does_not_answer(postgresql_url: str) -> None:
    name = parse_url(postgresql_url).options["database"]
    async with on_tcp(postgresql_url) as port:
        for rest in (
            f"postgres@127.0.0.1:1,127.0.0.1:{port}/{name}",
            f"postgres@/{name}?host=127.0.0.1,127.0.0.1&port=1,{port}",
        ):
            assert await settings_of(f"postgresql://{rest}", "jit") == ("off",)


async def test_tls_that_the_server_does_not_have(postgresql_url: str) -> None:
    name = parse_url(postgresql_url).options["database"]
    async with on_tcp(postgresql_url) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode="

        assert await settings_of(f"{url}prefer", "jit") == ("off",)
        with pytest.raises(StoreUnavailable) as raised:
            await settings_of(f"{url}require", "jit")
    assert "rejected SSL upgrade" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (1, 10, 5, 2, 0)),
        (
            "keepalives_idle=30&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=9000",
            (1, 30, 7, 4, 9000),
        ),
        ("keepalives=0", (0, 10, 5, 2, 0)),
        ("keepalives_idle=0", (1, IDLE, 5, 2, 0)),
    ],
)
async def test_keepalives_of_the_url_override_our_own(
    postgresql_url: str, query: str, expected: tuple[int, ...]
) -> None:
    name = parse_url(postgresql_url).options["database"]
    options = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )

    async with (
        on_tcp(postgresql_url) as port,
        opened(f"postgresql://postgres@127.0.0.1:{port}/{name}?{query}") as database,
        database.engine.connect() as connection,
    ):
        raw: Any = (await connection.get_raw_connection()).driver_connection
        found = raw._transport.get_extra_info("socket")
        assert tuple(found.getsockopt(*option) for option in options) == expected


async def test_connecting_to_a_silent_server_stops_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=1"
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                await settings_of(url, "jit")
