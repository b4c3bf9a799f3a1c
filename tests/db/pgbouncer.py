"""A real PgBouncer in front of the tests' PostgreSQL server."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

_CONFIGURATION = """
[databases]
* = host={sockets}
[pgbouncer]
pool_mode = {mode}
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
max_client_conn = 200
default_pool_size = {size}
ignore_startup_parameters = {ignored}
"""


@contextmanager
def pgbouncer(url: str, folder: Path, mode: str, *, size: int = 5, ignored: str = "") -> Iterator[str]:
    """Run a PgBouncer in front of the database at `url`, and yield the URL that connects through it.

    If PgBouncer is not installed, the test is skipped; in CI, it fails.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        if "CI" in os.environ:
            pytest.fail("pgbouncer is not installed")
        pytest.skip("pgbouncer is not installed")
    sockets = Path(str(make_url(url).query["host"]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # PgBouncer refuses to run as root. Run it as the user that runs PostgreSQL, who may use PostgreSQL's
    # socket.
    owner = sockets.owner()
    home = sockets / f"pgbouncer-{port}"
    home.mkdir()
    (home / "users").write_text('"postgres" ""\n')
    text = _CONFIGURATION.format(
        sockets=sockets, mode=mode, port=port, folder=home, size=size, ignored=ignored
    )
    (home / "pgbouncer.ini").write_text(text)
    shutil.chown(home, owner)
    user = ["-u", owner] if os.geteuid() == 0 else []
    with (folder / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen([program, "-q", *user, str(home / "pgbouncer.ini")], stderr=log)
    try:
        _wait(port, process)
        yield f"postgresql://postgres@127.0.0.1:{port}/{make_url(url).database}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("PgBouncer does not accept connections")
