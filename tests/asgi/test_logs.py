"""Log lines are valid logfmt, whatever a value contains.

Tracebacks in the log are short and hold no values.
"""

import subprocess
import sys

import pytest
from structlog.processors import LogfmtRenderer

from asgi import logs, tracebacks
from tests.processes import PROGRAM


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/graphql", "/graphql"),
        ("/api/v1/apps/{slug}", "/api/v1/apps/{slug}"),
        ("query Dashboard", '"query Dashboard"'),
        ('say "a=b"', r'"say \"a=b\""'),
        ("", '""'),
        ("é…", "é…"),
        ("back\\slash", "back\\slash"),
        ("a back\\slash", r'"a back\\slash"'),
        ("/no\nline\x1b[2J", r"/no\nline\x1b[2J"),
        ("two\nlines here", r'"two\nlines here"'),
        ("\u2028\u202e", r"\u2028\u202e"),
        ("\udcff", r"\udcff"),
        (200, "200"),
        (1.5, "1.5"),
        (["a", 1], "\"['a', 1]\""),
    ],
)
def test_a_value_never_breaks_a_line_in_two(value: object, written: str) -> None:
    event = {"path": value, "event": "it", "level": "info", "timestamp": "now"}

    assert logs._logfmt(None, "info", event) == f"timestamp=now level=info event=it path={written}"


def test_values_without_escapes_are_written_as_structlog_does() -> None:
    event = {"timestamp": "t", "level": "info", "event": "e", "a": "x y", "b": 'q"', "c": 1, "d": "p=q"}

    assert logs._logfmt(None, "info", dict(event)) == LogfmtRenderer()(None, "info", dict(event))


def test_a_traceback_has_places_and_types_and_nothing_else() -> None:
    def fail(secret: str) -> None:
        try:
            int(secret)
        except ValueError as error:
            error.add_note(secret)
            raise ExceptionGroup(secret, [KeyError(secret), OSError(2, secret, secret)]) from error

    with pytest.raises(ExceptionGroup) as raised:
        fail("zulu7")

    text = tracebacks.of(raised.value)
    assert "zulu7" not in text.replace('fail("zulu7")', "")
    assert text.index("ValueError\n") < text.index("The above exception was the direct cause")
    assert text.count("Traceback (most recent call last):") == 2
    assert ", in fail\n    int(secret)" in text
    assert text.splitlines()[-3:] == [
        "ExceptionGroup",
        "  | KeyError",
        "  | FileNotFoundError ENOENT: No such file or directory",
    ]


def test_the_length_of_a_traceback_is_bounded() -> None:
    def deeper(number: int) -> int:
        return deeper(number + 1)

    with pytest.raises(RecursionError) as raised:
        deeper(0)
    error: BaseException = raised.value
    for _ in range(1_000):
        following = RuntimeError()
        following.__cause__ = error
        error = following
    raised.value.__cause__ = error  # now the chain of causes is circular

    assert len(tracebacks.of(error)) < 20_000


def test_lines_of_libraries_keep_their_text_without_the_values() -> None:
    program = """
import asyncio, logging
from asgi import logs
logs.configure("info", "console")
logging.getLogger("a").error("it failed for %s", "zulu7")
logging.getLogger("b").warning(ValueError("zulu7"))
logging.getLogger("c").error("text: %d", "zulu7")
logging.getLogger("uvicorn.error").error("the master key (LICENSEGRAPH_MASTER_KEY) is missing")
logging.getLogger("quiet").info("zulu7")

async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda secret: 1 / 0, "zulu7")
    await asyncio.sleep(0)
    loop.create_task(fail("zulu7"))
    await asyncio.sleep(0)

async def fail(secret):
    raise ValueError(secret)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROGRAM.parent, capture_output=True, text=True, check=True
    )

    lines = done.stderr.splitlines()
    assert "zulu7" not in done.stderr
    assert [line.split(" event=")[1].split(" exception=")[0] for line in lines] == [
        '"it failed for %s" logger=a',
        "ValueError logger=b",
        '"text: %d" logger=c',
        '"the master key (LICENSEGRAPH_MASTER_KEY) is missing" logger=uvicorn.error',
        '"Exception in callback main." logger=asyncio',
        '"Task exception was never retrieved" logger=asyncio',
    ]
    assert "ZeroDivisionError" in lines[4]
    assert "ValueError" in lines[5]
