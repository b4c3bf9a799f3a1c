"""Runs commands inside the test's own process, because starting a new process is slow."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from subprocess import CompletedProcess
from typing import TypeVar

import pytest

from commands.command_line import main
from db.engine import Database
from settings import Settings, variable_of

Command = Callable[..., CompletedProcess[str]]

T = TypeVar("T")


def filled(url: str, fill: Callable[[Database], Awaitable[T]]) -> T:
    """Fill a database with a function, and return what the function returns."""

    async def filling() -> T:
        database = Database(url)
        try:
            return await fill(database)
        finally:
            await database.close()

    return asyncio.run(filling())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command in an empty folder, like `tests.processes.run`.

    The command has no settings other than the given variables.
    """
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"", **variables: str) -> CompletedProcess[str]:
        code = 0
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            try:
                main(arguments)
            except SystemExit as exit:
                code = int(exit.code or 0)
        captured = capsys.readouterr()
        return CompletedProcess(arguments, code, captured.out, captured.err)

    return run
