"""Node.js with jose, where they are installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("jose")
MODULES = FOLDER / "node_modules"


def missing() -> str | None:
    """Why nothing can be run here; None: it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    return None if (MODULES / ".installed").exists() else "jose is not installed: make outside"


def answer(folder: Path, *arguments: str) -> Any:
    """What a program of this folder prints, which is JSON."""
    done = subprocess.run(
        ["node", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
