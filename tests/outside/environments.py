"""Finds the samples of the README and of docs/customer-sessions.md, and installs the README's packages.

They are installed from public indexes, into environments of their own. If an environment cannot be created
within a time limit, its tests are skipped; in CI, they fail.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.processes import PROGRAM

README = (PROGRAM.parent / "README.md").read_text()
CUSTOMER_SESSIONS = (PROGRAM.parent / "docs" / "customer-sessions.md").read_text()
SECONDS = 240
# Give up early on an index that does not respond, so that there is time for a second attempt.
_IMPATIENT = {
    "PIP_DEFAULT_TIMEOUT": "20",
    "PIP_RETRIES": "4",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "npm_config_fetch_timeout": "20000",
    "npm_config_fetch_retries": "4",
    "npm_config_fetch_retry_maxtimeout": "10000",
    "npm_config_update_notifier": "false",
}


def sample(language: str, page: str = README) -> str:
    """Return the only code block of the page that is in this language."""
    return _block(language, page)


def file_of(name: str, page: str = README) -> str:
    """Return the content of this file, which is a code block of the page."""
    return _block(rf"\w+ {re.escape(name)}", page)


def _block(heading: str, page: str) -> str:
    (found,) = re.findall(rf"```{heading}\n(.*?)```", page, re.DOTALL)
    return str(found)


def command(program: str) -> list[str]:
    """Return the arguments of the README's only `install` command of a program, such as pip."""
    (found,) = re.findall(rf"^ {{4}}{program} (install .*)$", README, re.MULTILINE)
    return shlex.split(found)


def python(folder: Path) -> Path:
    """Create an environment with the packages that the README installs, and return its Python."""
    _run(folder, sys.executable, "-m", "venv", "environment")
    _run(folder, "environment/bin/pip", *command("pip"))
    return folder / "environment/bin/python"


def node(folder: Path) -> None:
    """Install the README's npm packages into a folder."""
    _run(folder, "npm", *command("npm"))


def _run(folder: Path, *words: str) -> None:
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **_IMPATIENT},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        _give_up(f"{words[0]} is not installed")
    except subprocess.TimeoutExpired:
        _give_up(f"{shlex.join(words)} did not finish in {SECONDS} seconds")
    if done.returncode != 0:
        _give_up(f"{shlex.join(words)} failed: {done.stdout}{done.stderr}")


def _give_up(reason: str) -> NoReturn:
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)
