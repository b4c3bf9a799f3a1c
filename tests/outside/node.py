"""Runs programs in Node.js. The packages that they need are installed by `make outside`."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("jose")
MODULES = FOLDER / "node_modules"
OPENAPI = Path(__file__).with_name("openapi")
DOCUMENTS = Path(__file__).with_name("documents")


def missing(folder: Path = FOLDER) -> str | None:
    """Return the reason why programs in a folder cannot run, or None if they can."""
    if shutil.which("node") is None:
        return "node is not installed"
    installed = (folder / "node_modules" / ".installed").exists()
    return (
        None if installed else f"the packages of tests/outside/{folder.name} are not installed: make outside"
    )


def run(folder: Path, *arguments: str) -> str:
    """Run a program in a folder, and return its output."""
    done = subprocess.run(
        ["node", *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def answer(folder: Path, *arguments: str) -> Any:
    """Run a program in a folder, and return the JSON that it prints."""
    return json.loads(run(folder, *arguments))
