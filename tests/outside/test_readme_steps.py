"""Follows the README as a new user would: the first steps in a fresh clone, then the guides."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest

from tests.commands.test_serve import TOKEN
from tests.keyrings import RSA_BITS
from tests.outside.conftest import Vendor
from tests.outside.environments import README, file_of
from tests.processes import PROGRAM, Server, until

ROOT = PROGRAM.parent
BROWSER = {"Accept": "text/html"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


# Install, serve, and the command line


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of a fresh clone: nothing is installed or built. Tests, benchmarks and docs are left out."""
    folder = tmp_path / "licensegraph"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/", "docs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def install(clone: Path) -> None:
    """Simulate the downloads of `make serve` with links to the packages that are installed here."""
    for made, installed in ((".venv", Path(sys.prefix)), ("web/node_modules", ROOT / "web" / "node_modules")):
        (clone / made).mkdir()
        for item in installed.iterdir() if installed.exists() else ():
            if item.name not in {".runtime", ".development", ".installed"} and ".vite" not in item.name:
                (clone / made / item.name).symlink_to(item)
    (clone / ".venv" / ".runtime").touch()
    (clone / "web" / "node_modules" / ".installed").touch()


def environment(clone: Path, **variables: str) -> dict[str, str]:
    """Return environment variables with which commands only write to the test's folder."""
    home = {"PATH": os.environ["PATH"], "HOME": str(clone.parent), "TMPDIR": str(clone.parent)}
    return {**home, "LICENSEGRAPH_RSA_BITS": str(RSA_BITS), **variables}


def shell(clone: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        shell=True,
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def made(clone: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run `make serve` in its own process group, and kill the whole group at the end."""
    with (clone / "said").open("w") as said:
        process = subprocess.Popen(
            ["make", "serve"],
            cwd=clone,
            env=environment(clone, PORT=str(port)),
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def test_without_anything_installed_each_command_says_what_to_do(clone: Path) -> None:
    said = shell(clone, "./licensegraph keys create --kind secret").stderr
    planned = shell(clone, "make -n serve").stdout

    assert said == f"licensegraph: the dependencies are not installed yet: run `make -C {clone} install`\n"
    order = [
        planned.index(step)
        for step in (
            "venv",
            "--require-hashes -r requirements.lock",
            "./licensegraph serve",
        )
    ]
    assert order == sorted(order)
    assert "npm ci --prefix web" in planned or shutil.which("npm") is None
    assert not (clone / ".venv").exists()
    assert not (clone / "web" / "dist").exists()


@pytest.mark.skipif(
    shutil.which("npm") is None or not (ROOT / "web" / "node_modules").exists(),
    reason="the packages of web/ are not installed",
)
def test_the_first_steps(clone: Path) -> None:
    install(clone)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    said = clone / "said"
    with made(clone, port) as process:
        until(lambda: "Licensegraph is running at" in said.read_text())
        first = httpx.get(url, headers=BROWSER, timeout=60).text
        assert "is being built" in first
        assert 'http-equiv="refresh"' in first
        assert httpx.get(f"{url}/api/health", timeout=60).status_code == 200
        until(lambda: '<div id="root">' in httpx.get(url, headers=BROWSER, timeout=60).text, 240)
        key = TOKEN.findall(said.read_text())[0]
        apps = httpx.get(f"{url}/api/v1/apps", headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert [app["slug"] for app in apps.json()["data"]] == ["my-app"]
        until((clone / "web" / "dist" / ".built").exists)
        process.terminate()
        process.wait(60)
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)

    lines = [line for line in said.read_text().splitlines() if "dashboard" in line.lower() and "web" in line]
    assert lines == ["Building the dashboard and GraphiQL into web/dist …"]

    commands = re.findall(r"^    (\./licensegraph .+)$", README, re.MULTILINE)
    assert len(commands) > 12
    (clone / "leaked.txt").write_text(shell(clone, "./licensegraph keys create --kind secret").stdout)
    listed = json.loads(shell(clone, "./licensegraph keys list --json").stdout)
    done = [
        shell(clone, command.replace("key_01…", listed[0]["id"]).replace("100000", "100"))
        for command in commands
    ]

    failed = [(each.args, each.stderr) for each in done if each.returncode != 0]
    assert failed == []
    assert len(json.loads(shell(clone, "./licensegraph accounts list --json").stdout)) == 1


# The guides


def module(folder: Path, name: str, **replaced: str) -> ModuleType:
    """Write a Python file from the README to the folder, and import it.

    `replaced` has new addresses for variables of the file, by the names of the variables.
    """
    code = file_of(name)
    for variable, value in replaced.items():
        code, count = re.subn(rf'^({variable} = )"[^"]*', rf'\1"{value}', code, flags=re.MULTILINE)
        assert count == 1, variable
    file = folder / name
    file.write_text(code)
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def shop(tmp_path: Path, vendor: Vendor, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The README's shop: the imported module, and a process that serves it at `shop.address`."""
    monkeypatch.setenv("LICENSE_SERVER_KEY", TOKEN.findall(server.printed)[0])
    port = free_port()
    shop: Any = module(tmp_path, "shop.py", SERVER=vendor.url)
    code = (tmp_path / "shop.py").read_text().replace('"127.0.0.1", 8000', f'"127.0.0.1", {port}')
    (tmp_path / "shop.py").write_text(code)
    with subprocess.Popen(
        [sys.executable, "shop.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        shop.address = f"http://127.0.0.1:{port}"
        until(lambda: _is_open(port))
        try:
            yield shop
        finally:
            process.kill()


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def app(tmp_path: Path, vendor: Vendor, shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The README's app, on a machine where it has never run before."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my-app.pem").write_text(vendor.pem("my-app"))
    return module(tmp_path, "licensing.py", SERVER=f"{vendor.url}/api/v1/apps/my-app", SHOP=str(shop.address))


def order_of(app: Any, id: str, plan: str = "team-yearly") -> dict[str, str]:
    return {
        "id": id,
        "customer_id": "shop-7",
        "email": "grace@example.com",
        "plan": plan,
        "installation_id": app.installation_id(),
    }


def event(shop: Any, name: str, order: dict[str, str]) -> None:
    assert httpx.post(f"{shop.address}/{name}", json=order, timeout=60).status_code == 204


def test_an_app_is_licensed_from_the_purchase_to_the_refund(app: Any, shop: Any, vendor: Vendor) -> None:
    assert app.installation_id() == app.installation_id()
    assert app.claims() is None
    app.once_a_day()  # there is no license yet
    assert app.claims() is None

    for _ in range(2):  # a repeated event has no further effect
        event(shop, "checkout", order_of(app, "order-1"))
    app.ask()
    found = app.claims()
    assert (found["tier"], found["features"]) == ("team", ["export", "sso"])
    assert not app.is_in_grace(found)

    event(shop, "checkout", order_of(app, "order-2", "solo-monthly"))  # a new order changes the license
    event(shop, "checkout", order_of(app, "order-1"))  # an old event that is sent again changes nothing
    # a refund of the old order does not revoke the license
    event(shop, "refund", order_of(app, "order-1"))
    app.once_a_day()
    assert app.claims()["tier"] == "solo"

    for _ in range(2):
        event(shop, "refund", order_of(app, "order-2"))
    app.once_a_day()
    assert app.claims() is None
    licenses = vendor.ask(
        """{ app(slug: "my-app") { customer(by: {externalId: "shop-7"}) {
          email licenses(first: 9) { nodes { status revokedReason } } } } }"""
    )["app"]["customer"]
    assert licenses == {
        "email": "grace@example.com",
        "licenses": {
            "nodes": [{"status": "REVOKED", "revokedReason": "Refunded"}],
        },
    }


def test_a_paid_invoice_renews_the_license_once(app: Any, shop: Any) -> None:
    event(shop, "checkout", order_of(app, "order-7"))
    app.ask()
    before = app.claims()

    for _ in range(2):  # a repeated event adds no second term
        event(shop, "renewal", {**order_of(app, "order-7"), "invoice": "invoice-1"})
    app.once_a_day()

    after = app.claims()
    assert after["exp"] - before["exp"] == 365 * 24 * 60 * 60
    assert (after["lic_id"], after["tier"]) == (before["lic_id"], "team")


def test_an_expired_license_has_a_grace_period_and_can_be_renewed(
    app: Any, shop: Any, vendor: Vendor
) -> None:
    event(shop, "checkout", order_of(app, "order-3"))
    present = shop.present_license(order_of(app, "order-3"))
    vendor.ask(
        "mutation($id: ID!) { deleteLicense(input: {id: $id}) { userErrors { code } } }", id=present["id"]
    )
    customer = vendor.ask('{ app(slug: "my-app") { customer(by: {externalId: "shop-7"}) { id } } }')
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    issued = vendor.ask(
        """mutation($customer: ID!, $installation: UUID!, $soon: DateTime!) {
          createLicense(input: {
            customerId: $customer, installationId: $installation, expiresAt: $soon
          }) { license { id } } }""",
        customer=customer["app"]["customer"]["id"],
        installation=app.installation_id(),
        soon=soon,
    )
    app.ask()
    until(lambda: app.is_in_grace(app.claims()), 10)

    app.GRACE = 0
    assert app.claims() is None

    vendor.renew(issued["createLicense"]["license"]["id"])
    app.exchange()
    assert not app.is_in_grace(app.claims())

    event(shop, "checkout", order_of(app, "order-4"))
    app.once_a_day()
    assert not app.is_in_grace(app.claims())


def test_an_installation_forgets_a_license_that_has_moved(app: Any, shop: Any, vendor: Vendor) -> None:
    event(shop, "checkout", order_of(app, "order-6"))
    app.ask()
    vendor.ask(
        """mutation($id: ID!, $installation: UUID!) {
          updateLicense(input: {id: $id, installationId: $installation}) { userErrors { code } } }""",
        id=shop.present_license(order_of(app, "order-6"))["id"],
        installation="3c9e1b52-0d5f-4d0c-9a53-6f2f1f0a7b10",
    )
    assert app.claims() is not None  # without a network, the token counts until it expires

    with pytest.raises(HTTPError, match="401"):
        app.exchange()
    app.once_a_day()
    assert app.claims() is None


def test_a_token_of_another_installation_or_a_spoilt_one_is_refused(
    app: Any, shop: Any, tmp_path: Path
) -> None:
    event(shop, "checkout", order_of(app, "order-5"))
    app.ask()
    token = (tmp_path / ".my-app" / "token").read_text()
    assert app.claims() is not None

    (tmp_path / ".my-app" / "token").write_text(token[:-8] + "AAAAAAAA")
    assert app.claims() is None
    (tmp_path / ".my-app" / "token").write_text(f"{token}\n")
    assert app.claims() is not None
    (tmp_path / ".my-app" / "installation").write_text("8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11")
    assert app.claims() is None


# Loops that read all pages


@pytest.fixture(scope="module")
def emails(vendor: Vendor) -> list[str]:
    """The emails of 220 new customers, which do not fit on two pages."""
    for start in range(0, 220, 20):
        fields = " ".join(
            f'c{number}: createCustomer(input: {{appSlug: "my-app", email: "many-{number}@example.com"}}) '
            "{ userErrors { code } }"
            for number in range(start, start + 20)
        )
        vendor.ask(f"mutation {{ {fields} }}")
    return [f"many-{number}@example.com" for number in range(220)]


@pytest.mark.parametrize(
    "program",
    [
        [sys.executable, "page_through.py"],
        pytest.param(
            ["node", "page_through.mjs"],
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
        ),
    ],
    ids=["Python", "JavaScript"],
)
def test_a_loop_reads_everything_once(
    program: list[str], tmp_path: Path, vendor: Vendor, server: Server, emails: list[str]
) -> None:
    code = file_of(program[1]).replace("http://localhost:4000", vendor.url)
    (tmp_path / program[1]).write_text(code)
    total = vendor.ask('{ app(slug: "my-app") { customers(first: 1) { totalCount } } }')
    key = TOKEN.findall(server.printed)[0]

    printed = subprocess.run(
        program,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LICENSE_SERVER_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()

    assert len(printed) == len(set(printed)) == total["app"]["customers"]["totalCount"]
    assert set(emails) <= set(printed)
