"""`serve`: start, output and shutdown."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import func, select

from commands.serve import GRACE_SECONDS
from db import clock
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.deadlines import UNLIMITED
from db.engine import Database
from db.keys import keys
from db.licenses import licenses
from tests.asgi.connections import Listener, post
from tests.commands.conftest import Command
from tests.factories import make_account, make_app, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import PROGRAM, Server, ready, run, serving, start

TOKEN = re.compile(r"sk_live_\w{32}")
README = PROGRAM.parent / "README.md"


@pytest.fixture
def server(tmp_path: Path, unmigrated_url: str) -> Iterator[Server]:
    """A server on a new database."""
    with serving(tmp_path, DATABASE_URL=unmigrated_url) as server:
        yield server


def curls(text: str) -> list[list[str]]:
    """Return the curl commands in a text, each as a list of arguments."""
    commands = re.findall(r"^ *(curl (?:.*\\\n)*.*)$", text, re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " ")) for command in commands]


def send(words: list[str]) -> httpx.Response:
    """Send the request that a curl command describes."""
    headers, body, method, url = {}, None, None, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case "-X":
                method = next(rest)
            case "-o":
                next(rest)
            case _:
                url = word
    assert url is not None
    return httpx.request(
        method or ("POST" if body else "GET"), url, headers=headers, content=body, timeout=60
    )


def test_first_start_prints_a_key_once_and_calls_that_work(
    tmp_path: Path, unmigrated_url: str, server: Server
) -> None:
    page = re.search(r"^ +(http\S+/graphql)$", server.printed, re.MULTILINE)
    graphql, rest = map(send, curls(server.printed))

    assert page is not None
    assert "GraphiQL" in httpx.get(page[1], headers={"Accept": "text/html"}).text
    assert len(set(TOKEN.findall(server.printed))) == 1
    app = graphql.json()["data"]["app"]
    assert app["name"] == "My App"
    assert app["customers"]["totalCount"] == 5
    statuses = [each["status"] for node in app["customers"]["nodes"] for each in node["licenses"]["nodes"]]
    assert sorted(statuses) == ["ACTIVE"] * 6 + ["REVOKED"]
    assert rest.json()["meta"] == {"total": 5, "page": 1, "per_page": 5}

    with serving(tmp_path, DATABASE_URL=unmigrated_url) as second:
        assert "sk_live_" not in second.printed
    assert "sk_live_" not in (tmp_path / "server.log").read_text()


def test_printed_addresses_have_the_path_prefix(tmp_path: Path, unmigrated_url: str) -> None:
    variables = {"DATABASE_URL": unmigrated_url, "LICENSEGRAPH_PATH_PREFIX": "/tools/licenses"}
    with serving(tmp_path, **variables) as server:
        graphql, rest = map(send, curls(server.printed))
        openapi = run(tmp_path, "openapi", **variables)

        assert server.url.endswith("/tools/licenses")
        urls = set(re.findall(r"http://127\.0\.0\.1:\d+[^\s']*", server.printed))
        assert [url for url in urls if not url.startswith(server.url)] == []
        assert (
            "(dashboard at /tools/licenses/, GraphQL and GraphiQL at /tools/licenses/graphql)"
            in server.printed
        )
        assert (graphql.status_code, rest.status_code) == (200, 200)
        assert json.loads(openapi.stdout) == httpx.get(f"{server.url}/api/openapi.json").json()


def test_the_first_start_says_where_the_master_key_is(
    tmp_path: Path, unmigrated_url: str, server: Server
) -> None:
    file = tmp_path / "licensegraph.key"
    key = file.read_text().strip()

    lines = server.printed.splitlines()
    assert lines[0] == f"A new master key was written to {file}"
    assert lines[1].startswith("Keep a copy of it: ")
    with serving(tmp_path, DATABASE_URL=unmigrated_url) as second:
        assert len(second.printed.splitlines()) == 1
    assert file.read_text().strip() == key
    assert key not in server.printed + (tmp_path / "server.log").read_text()


def test_without_the_master_key_nothing_is_served(
    tmp_path: Path, unmigrated_url: str, server: Server
) -> None:
    file = tmp_path / "licensegraph.key"
    key = file.read_text().strip()
    file.unlink()
    refusals = {
        "private keys is missing": {},
        "(LICENSEGRAPH_MASTER_KEY) is not the one that encrypts": {"LICENSEGRAPH_MASTER_KEY": MASTER_KEY},
    }

    for said, variables in refusals.items():
        done = run(tmp_path, "--port", "0", DATABASE_URL=unmigrated_url, **variables)

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("licensegraph: the master key ")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert MASTER_KEY not in done.stderr
    assert not file.exists()
    with serving(tmp_path, DATABASE_URL=unmigrated_url, LICENSEGRAPH_MASTER_KEY=key) as served:
        assert len(served.printed.splitlines()) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_process_has_the_master_key(tmp_path: Path, unmigrated_url: str, workers: str) -> None:
    """Each process reads the key itself. If a process created another key, it would log that."""
    with serving(tmp_path, "--workers", workers, DATABASE_URL=unmigrated_url) as server:
        assert server.printed.count("A new master key was written to ") == 1
        assert server.stop() == 0

    assert "master_key" not in (tmp_path / "server.log").read_text()


def test_calls_of_the_readme_work(server: Server) -> None:
    key = TOKEN.findall(server.printed)[0]
    text = README.read_text().replace("http://localhost:4000", server.url).replace("sk_live_...", key)
    app, authorization = f"{server.url}/api/v1/apps/my-app", {"Authorization": f"Bearer {key}"}
    for noun, example in (("customers", "cus_..."), ("tiers", "tier_..."), ("licenses", "lic_...")):
        first = httpx.get(f"{app}/{noun}", headers=authorization).json()["data"][0]
        text = text.replace(example, first["id"])
    text = re.sub(r"as_of=2[^\"]+", f"as_of={clock.as_text(clock.now())}", text)

    answers = [send(words) for words in curls(text)]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 200, 200, 200, 200, 201, 200, 201, 200, 200, 200, 200, 201, 200, 201]
    assert "errors" not in answers[0].json()
    assert answers[1].json()["data"]["createCustomer"]["userErrors"] == []
    assert answers[3].json()["data"][0]["type"] == "key.created"
    assert len(answers[4].json()["data"]) == 12
    assert answers[6].json()["meta"]["total"] == 1
    assert answers[7].json()["data"]["token"].count(".") == 2
    assert answers[8].json()["data"]["valid"] is True
    assert answers[9].json()["data"]["status"] == "active"
    assert answers[10].headers["ETag"] == '"2"'
    assert answers[2].text == answers[13].text
    assert answers[13].text.startswith("-----BEGIN PUBLIC KEY-----")
    assert answers[14].json()["data"]["key"].startswith("rk_live_")


async def test_one_of_several_starting_servers_creates_the_key(tmp_path: Path, unmigrated_url: str) -> None:
    processes = [start(tmp_path, DATABASE_URL=unmigrated_url) for _ in range(3)]
    try:
        printed = [ready(process).printed for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert sorted("sk_live_" in each for each in printed) == [False, False, True]
    assert sorted("A new master key" in each for each in printed) == [False, False, True]
    database = Database(unmigrated_url)
    async with database.read() as session:
        counts = [
            (await session.rows(select(func.count()).select_from(table), {}))[0][0]
            for table in (accounts, keys, apps, customers, licenses)
        ]
    await database.close()
    assert counts == [1, 1, 1, 5, 7]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_finishes_requests_in_flight(tmp_path: Path, database_url: str, workers: str) -> None:
    with serving(tmp_path, "--workers", workers, DATABASE_URL=database_url) as server:
        url = httpx.URL(server.url)
        body = b'{"query": "{ __typename }"}'
        with socket.create_connection((url.host, url.port), timeout=60) as connection:
            connection.sendall(
                b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")  # the server waits for the body now
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            assert server.process.poll() is None
            connection.sendall(body)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))

        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b'{"data":{"__typename":"Query"}' in answer
        assert server.process.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/api/health")


@pytest.mark.long
async def test_sigterm_ends_endless_requests(tmp_path: Path, database_url: str, database: Database) -> None:
    account = await make_account(database)
    app = await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    mutation = 'mutation { updateApp(input: {slug: "atlas", name: "New"}) { app { name } } }'
    variables = {
        "DATABASE_URL": database_url,
        "LICENSEGRAPH_MASTER_KEY": MASTER_KEY,
        "LICENSEGRAPH_STATEMENT_TIMEOUT_S": "0",
        "LICENSEGRAPH_LOCK_TIMEOUT_S": "0",
    }

    patient = Database(database_url, timeouts=UNLIMITED)
    with serving(tmp_path, **variables) as server:
        async with patient.write() as session:  # this session holds the lock that the mutation waits for
            await session.execute(apps.update().where(apps.c.id == app.id).values(name="Held"))
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120) as client:
                asking = asyncio.create_task(client.post("/graphql", json={"query": mutation}))
                await asyncio.sleep(1)
                server.process.terminate()
                started = time.monotonic()
                ended = await asyncio.to_thread(server.process.wait, 60)
                with suppress(httpx.HTTPError):
                    await asking

    await patient.close()
    assert ended == 0
    assert GRACE_SECONDS - 1 < time.monotonic() - started < GRACE_SECONDS + 10


def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.process.send_signal(signal.SIGINT)
        server.process.wait(60)

    assert len((tmp_path / "server.log").read_text().splitlines()) == 1


@pytest.mark.parametrize("format", ["console", "json"])
def test_the_log_has_one_line_a_request_and_no_secrets(tmp_path: Path, format: str) -> None:
    with serving(tmp_path, LICENSEGRAPH_LOG_FORMAT=format) as server:
        key = TOKEN.findall(server.printed)[0]
        headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "request-7"}
        httpx.get(
            f"{server.url}/graphql?query=%7Bapps%7BtotalCount%7D%7D", headers=headers
        ).raise_for_status()
        httpx.get(f"{server.url}/no%0Aline%1B[2J")
        # The server writes a log line after it sends the response. If the server were killed, the last line
        # could be missing.
        assert server.stop() == 0

    lines = (tmp_path / "server.log").read_text().splitlines()
    assert len(lines) == 3, "one line is for the health check at the start"
    assert not any(key in line or "totalCount" in line for line in lines)
    if format == "json":
        first, second = map(json.loads, lines[1:])
        assert first.pop("milliseconds") > 0
        assert first.pop("timestamp").endswith("Z")
        assert first == {
            "event": "request.answered",
            "level": "info",
            "method": "GET",
            "path": "/graphql",
            "status": 200,
            "operation": "query",
            "key": first["key"],
            "account": first["account"],
            "client": "127.0.0.1",
            "request": "request-7",
        }
        assert (first["key"][:4], first["account"][:4]) == ("key_", "acc_")
        assert second["path"] == "/no\nline\x1b[2J"
    else:
        assert (
            " level=info event=request.answered method=GET path=/graphql status=200 milliseconds=" in lines[1]
        )
        assert lines[1].endswith(" request=request-7")
        assert r" path=/no\nline\x1b[2J status=404 " in lines[2]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_connections_are_bounded_by_the_settings(tmp_path: Path, workers: str) -> None:
    settings = {
        "LICENSEGRAPH_MAX_HEADER_BYTES": "500",
        "LICENSEGRAPH_HEADER_TIMEOUT_S": "1",
        "LICENSEGRAPH_BODY_TIMEOUT_S": "1",
        "LICENSEGRAPH_KEEP_ALIVE_S": "1",
    }
    health = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(tmp_path, "--workers", workers, **settings) as server:
        key = TOKEN.findall(server.printed)[0]
        listener = Listener(httpx.URL(server.url).port or 0)
        began = time.monotonic()
        talks = [
            listener.talk(health),
            listener.talk(health[:30]),
            listener.talk(b"GET /graphql HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 500),
            listener.talk(post("/api/v1/apps", b"{}", f"Authorization: Bearer {key}")[:-1]),
            listener.talk(
                b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            ),
            listener.talk(b"nonsense"),
        ]
        got = [[answer.status for answer in each] for each in await asyncio.gather(*talks)]
        assert time.monotonic() - began < 5
        assert server.stop() == 0

    assert got == [[200], [408], [431], [408], [400], [400]]
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert all(" level=info event=" in line for line in lines), lines
    assert sum("event=request.answered" in line for line in lines) == 1 + len(got)


def test_a_port_in_use_is_reported_before_anything_is_changed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "--port", str(port))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"licensegraph: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////nowhere/at/all.db", "the database is unavailable: unable to open database file"),
        ("postgresql://me:secret@127.0.0.1:1/db", "the database is unavailable: "),
        ("postgresql://me:secret@[::1/db", "DATABASE_URL: is not a URL"),
        ("mysql://me:secret@localhost/db", "DATABASE_URL: cannot be mysql"),
    ],
)
def test_an_unreachable_database_is_an_error_of_one_line(tmp_path: Path, url: str, said: str) -> None:
    done = run(tmp_path, "--port", "0", DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"licensegraph: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_every_wrong_setting_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LICENSEGRAPH_MAX_COST=lots\nPORT=99999\n")

    done = run(tmp_path, "serve", LICENSEGRAPH_MAX_DEPTH="-1")

    assert (done.returncode, done.stdout) == (1, "")
    said = [line.split(": ")[:2] for line in done.stderr.splitlines()]
    assert said == [
        ["licensegraph", name] for name in ("PORT", "LICENSEGRAPH_MAX_DEPTH", "LICENSEGRAPH_MAX_COST")
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_variable_that_is_not_a_setting_is_one_warning_in_the_log(tmp_path: Path, workers: str) -> None:
    (tmp_path / ".env").write_text("LICENSEGRAPH_MAX_COSTS=5\n")
    with serving(tmp_path, "--workers", workers, LICENSEGRAPH_LOG_FORMAT="json") as server:
        assert server.stop() == 0

    lines = map(json.loads, (tmp_path / "server.log").read_text().splitlines())
    (warning,) = [line for line in lines if line["level"] == "warning" and line["event"] == "setting.unknown"]
    assert (warning["variable"], warning["nearest"]) == ("LICENSEGRAPH_MAX_COSTS", "LICENSEGRAPH_MAX_COST")


def test_a_variable_that_is_not_a_setting_is_a_warning_of_every_command(command: Command) -> None:
    for arguments in (("migrate",), ("keys", "list"), ("accounts", "list"), ("counters", "check")):
        done = command(*arguments, LICENSEGRAPH_ISSUERS="me", LICENSEGRAPH_COLOUR_OF_THE_SKY="blue")

        assert done.returncode == 0
        assert done.stderr == (
            "licensegraph: warning: LICENSEGRAPH_COLOUR_OF_THE_SKY is not a setting (README.md lists them)\n"
            "licensegraph: warning: LICENSEGRAPH_ISSUERS is not a setting"
            ": did you mean LICENSEGRAPH_ISSUER?\n"
        )


def test_without_migrating_an_empty_database_is_refused(tmp_path: Path, unmigrated_url: str) -> None:
    done = run(tmp_path, "--port", "0", "--no-migrate", DATABASE_URL=unmigrated_url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "licensegraph: the database is not up to date: run `./licensegraph migrate`\n"
    assert not (tmp_path / "licensegraph.key").exists()


def test_without_migrating_a_migrated_database_is_served(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path, "--no-migrate", DATABASE_URL=database_url) as server:
        assert httpx.get(f"{server.url}/api/health").status_code == 200
        assert server.stop() == 0


def test_alembic_is_not_loaded_if_there_is_nothing_to_migrate(database_url: str, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from server import create_app; from commands.database import open_database; "
        "from settings import read_settings\n"
        "async def main():\n"
        "    async with open_database(read_settings()): pass\n"
        "asyncio.run(main()); create_app(); print('alembic' in sys.modules)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROGRAM.parent),
        "DATABASE_URL": database_url,
    }

    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert said.stdout == "False\n"


def test_the_limit_of_open_files_follows_the_connections(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 2_000:
        pytest.skip("the system's limit of open files is too low")
    url = f"sqlite:///{tmp_path / 'licensegraph.db'}"

    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    try:
        with serving(tmp_path, DATABASE_URL=url, LICENSEGRAPH_MAX_CONNECTIONS="1500") as server:
            allowed, _ = psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert allowed >= 1_500
