"""`keys`: make, list and revoke API keys, and rotate the signing keys of apps."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from getpass import getpass
from typing import Annotated, Any, Literal

from cyclopts import App, CoercionError, Group, Parameter, Token, convert
from cyclopts.validators import LimitedChoice

from commands.migrate import opened, opened_with_keyring
from commands.progress import progress_bar
from resolvers.keys import KeyKind, ListedKey, create_key, list_keys, revoke_key
from resolvers.rotation import rotate_any_app
from settings import read_settings

_STANDARD_INPUT = "-"
_LONGEST_LINE = 1_000
_EXPIRY = Group("Expiry", validator=LimitedChoice())


def _duration(kind: Any, tokens: Sequence[Token]) -> timedelta:
    try:
        duration: timedelta = convert(timedelta, tokens)
    except (CoercionError, OverflowError):
        raise ValueError("it must be a duration such as 90d or 12h") from None
    return duration


keys = App(name="keys", help="Make, list and revoke API keys; rotate the signing keys of apps.")

_HEADINGS = ("ID", "ACCOUNT", "KIND", "NAME", "KEY", "CREATED", "EXPIRES", "REVOKED")


@keys.command
async def create(
    *,
    kind: Annotated[
        Literal["secret", "public"], Parameter(help="A secret key reads and writes, a public key reads.")
    ],
    account: Annotated[
        str | None,
        Parameter(
            help="The account's name; a new name makes the account. May be left out while there is one."
        ),
    ] = None,
    name: Annotated[str | None, Parameter(help="What the key is for, as `keys list` will show it.")] = None,
    expires_at: Annotated[
        str | None,
        Parameter(help="From when on it does not serve: 2027-01-31T10:00:00Z (RFC 3339).", group=_EXPIRY),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        Parameter(
            help="The same from now on: 90d, 12h, 1h30m; s, m, h, d, w (weeks), M (30 days) or y (365 days).",
            converter=_duration,
            group=_EXPIRY,
        ),
    ] = None,
) -> str:
    """Make a key and print it.

    Nothing else is printed. The key is shown this once and kept nowhere.
    """
    async with opened(read_settings()) as database, database.write() as session:
        new = await create_key(
            session,
            KeyKind(kind),
            account=account,
            name=name,
            expires_at=expires_at,
            expires_in=expires_in,
        )
    return new.token


@keys.command(name="list")
async def list_(
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", show_default=False, help="Print a JSON array.")
    ] = False,
) -> str:
    """List all keys, also those that serve no more.

    What is shown of a key cannot be used.
    """
    async with opened(read_settings()) as database, database.read() as session:
        found = await list_keys(session)
    return _json(found) if as_json else _table(found)


@keys.command
async def revoke(
    id_or_token: Annotated[
        str,
        Parameter(
            help="The key's id, as `keys list` shows it, or the key itself; -: what standard input holds.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
) -> str:
    """Have a key serve no more.

    That is so within a second, on every running server. A key that is an argument is seen by whoever lists
    the processes, and kept in the shell's history: better give its id, or - and the key on standard input.
    """
    if id_or_token == _STANDARD_INPUT:
        id_or_token = _read_key()
    async with opened(read_settings()) as database, database.write() as session:
        revoked = await revoke_key(session, id_or_token)
    return f"The key {revoked.id} {'was revoked already' if revoked.was_revoked else 'is revoked'}."


@keys.command
async def rotate(
    *,
    app: Annotated[str, Parameter(help="The app's slug.")],
    retire: Annotated[
        Literal["after-last-expiry", "immediately"],
        Parameter(help="How long the old key stays published: until its tokens have expired, or no longer."),
    ] = "after-last-expiry",
) -> str:
    """Give an app a new signing key, and every live license a token under it.

    Servers may go on answering: the new key and its tokens show all at once, when the last one is signed.
    What was broken off goes on where it was. A progress bar is shown on a terminal.
    """
    async with opened_with_keyring(read_settings()) as (database, keyring):
        with progress_bar() as bar:
            task = bar.add_task("Licenses", total=None)
            rotated = await rotate_any_app(
                database,
                keyring,
                app,
                immediately=retire == "immediately",
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    licenses = f"{rotated.licenses_resigned:,} live license{'' if rotated.licenses_resigned == 1 else 's'}"
    return (
        f"The signing keys of {app} are replaced, and {licenses} signed anew.\n"
        f"The new public key: /api/v1/apps/{app}/public-key"
    )


def _read_key() -> str:
    """The first line of standard input, which a terminal does not show."""
    if sys.stdin.isatty():
        return getpass("Key: ").strip()
    return sys.stdin.buffer.readline(_LONGEST_LINE).decode(errors="replace").strip()


def _json(found: Sequence[ListedKey]) -> str:
    return json.dumps([asdict(key) for key in found], indent=2, ensure_ascii=False)


def _table(found: Sequence[ListedKey]) -> str:
    rows = [_HEADINGS, *(tuple(value or "-" for value in asdict(key).values()) for key in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
