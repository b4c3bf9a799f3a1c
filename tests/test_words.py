"""Plain words in docstrings, comments, descriptions, messages, test names, docs and web sources.

`PLAINLY` lists words and phrases that are almost always wrong, with what to write instead. In the rare case
that one is right, rewrite the sentence or make the pattern narrower.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = (".css", ".graphql", ".html", ".md", ".mjs", ".py", ".sql", ".toml", ".ts", ".tsx")
NAMES = ("Makefile", "run")
"""Checked files that have no suffix."""
SKIPPED_FOLDERS = {".git", ".venv", "dist", "graph", "node_modules", "screenshots", "versions"}
"""Folders with installed or generated files, and with migrations, which never change."""

PLAINLY = {
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix",
    r"whoever|whomever|whosoever": "anyone who, or a noun: the caller, a client that",
    r"anybody|somebody|everybody": "anyone, someone, everyone",
    r"(?<!are\s)(?<!is\s)(?<!and\s)no more(?=[.,;:)]| of (oneself|it)\b)": "no longer; stop",
    r"of no more use": "no longer useful",
    r"(knows?|takes?|accepts?) \S+ alone": "only supports",
    r"(?-i:Answers) (whether|how|what|which|who|None|the|an?|its|their)": "returns",
    r"answers? (whether|None|True|False|its id|the (ids?|one|column|exit code|exact counts))": "return",
    r"there being|all of (them|which|these) being": "since there is; since all are",
    r"(the (first|last|next)|mean of|over|for|about|of|until) so many": "a name or a number: the first 20",
    r"nor (is|are|was|does|do|did|has|have|can|may|must)": "and … not; it also does not",
    r"but for(?! (this|that)\b)": "except",
    r"by turns": "in turn; alternately",
    r"go(es)? by (the|an?|its|their|`\w+`|classes|trigrams)": "use; follow; depend on",
    r"without end": "forever; endless; without a limit",
    r"(came|comes?) of": "the cause, or the result, of",
    r"(bring(s|ing)?|brought) (\w+ )?about": "cause",
    r"wholly": "completely; all of it",
    r"lest|hence|thus|likewise|therein|thereof|whereof": "so that … not; so; also",
    r"as ever": "as before; still",
    r"in vain": "without success",
    r"tells? (of|whether|which)": "say; describe; return",
    r", for (it|they|there|these|those) (is|are|was|has|have|can|may|does|do)": "because",
    r"renew(s|ed|ing|al)? (\S+ ){0,4}tokens?": "get a new token, regenerate: renewing gives a later expiry",
    r"tokens? (\w+ ){0,4}renew(s|ed)?": "get a new token, regenerate: renewing gives a later expiry",
    r"whether [^.;:]{1,40} or not": "whether; if",
}

_GAP = r"[\s#*/]+"
"""What may separate the words of a phrase, including a line break within a comment."""
_ANY = re.compile(
    r"(?i)\b(?:"
    + "|".join(f"(?P<n{number}>{pattern})".replace(" ", _GAP) for number, pattern in enumerate(PLAINLY))
    + r")(?!\w)"
)
_ADVICE = list(PLAINLY.values())


def found_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the phrases to replace: the line of each, the phrase, and what to write instead."""
    # Names are checked too, especially those of tests, so `_` separates words.
    for match in _ANY.finditer(text.replace("_", " ")):
        phrase = re.sub(_GAP, " ", match[0])
        assert match.lastgroup is not None
        yield text.count("\n", 0, match.start()) + 1, phrase, _ADVICE[int(match.lastgroup[1:])]


def files() -> Iterator[Path]:
    """Yield every file with prose, except for this one."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in SKIPPED_FOLDERS]
        for name in names:
            if name.endswith(SUFFIXES) or name in NAMES:
                file = Path(folder, name)
                if file != Path(__file__):
                    yield file


def test_prose_uses_plain_words() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {phrase!r}: write {instead!r}"
        for file in files()
        for line, phrase, instead in found_in(file.read_text())
    ]

    assert not found, "\n".join(["", *sorted(found)])


@pytest.mark.parametrize(
    "sentence",
    [
        "Counted anew.",
        "def test_what_is_off_is_mended() -> None:",
        "Whoever gets a copy can read it.",
        "Have a key serve no more.",
        "# Keys that serve no\n# more.",
        "This path knows GET alone.",
        '"""Answers the id of the last one, None at the end."""',
        "must be named, there being several",
        "The first so many rows",
        "Nor is a connection checked out.",
        "the same, but for ids and times",
        "Styles go by classes.",
        "what came of it",
        "One that brings about an incident",
        "on SQLite, for it has no such function",
        "whether it still serves or not",
        "Software that holds a token can renew it.",
        "Anyone with the token can use and renew the license.",
        "Call this to renew the current token.",
    ],
)
def test_phrases_that_are_found(sentence: str) -> None:
    assert len(list(found_in(sentence))) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "None: there are no more.",
        "It waits five seconds and no more, and takes no more than 20 rows.",
        "It recommends commands, and amends nothing.",
        "Licensegraph alone",
        "The server answers the request. Answers are framed.",
        "so many tokens that the limit is reached",
        "neither revoked nor expired",
        "for these apps, for it and for those",
        "A renewed license has a later expiry. Its app then gets a new token.",
        "The outcome of a request; it comes from elsewhere.",
    ],
)
def test_phrases_that_are_left_alone(sentence: str) -> None:
    assert list(found_in(sentence)) == []
