"""`keys`: create, list and revoke API keys, and rotate the signing keys of apps."""

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from getpass import getpass
from typing import Annotated, Any, Literal

from cyclopts import App, ArgumentCollection, CoercionError, Group, Parameter, Token, convert

from commands.database import open_database, open_database_and_keyring, settings_of_command
from commands.limits import policy_of
from commands.listing import AsJson, as_json_text, detail_lines, table_lines
from commands.misuse import not_empty
from commands.progress import progress_bar
from db.events import command
from resolvers.inputs import check
from resolvers.keys import CreateKey, ListedKey, create_key, list_keys, revoke_key
from resolvers.rotation import rotate_any_app
from resolvers.viewer import KeyKind

_STANDARD_INPUT = "-"
_LONGEST_LINE = 1_000


def _one_expiry(given: ArgumentCollection) -> None:
    if len([each for each in given if each.tokens]) > 1:
        raise ValueError("give --expires-at or --expires-in, not both")


_EXPIRY = Group("Expiry", validator=_one_expiry)


def _duration(kind: Any, tokens: Sequence[Token]) -> timedelta:
    try:
        duration: timedelta = convert(timedelta, tokens)
    except (CoercionError, OverflowError):
        raise ValueError("must be a duration such as 90d or 12h") from None
    return duration


keys = App(name="keys", help="Create, list and revoke API keys; rotate the signing keys of apps.")

_HEADINGS = ("ID", "ACCOUNT", "KIND", "NAME", "KEY", "CREATED", "LAST USED", "EXPIRES", "REVOKED")


@keys.command
async def create(
    *,
    kind: Annotated[
        Literal["secret", "public"],
        Parameter(help="A secret key can read and write; a public key can only read."),
    ],
    account: Annotated[
        str | None,
        Parameter(
            help="The account's name. Optional if there is only one account. `accounts list` shows them all."
        ),
    ] = None,
    new_account: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Create the account that --account names."),
    ] = False,
    name: Annotated[str | None, Parameter(help="What the key is for. `keys list` shows it.")] = None,
    expires_at: Annotated[
        str | None,
        Parameter(help="When the key expires, for example 2027-01-31T10:00:00Z (RFC 3339).", group=_EXPIRY),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        Parameter(
            help="How long the key is valid, for example 90d, 12h or 1h30m. The units are s, m, h, d, w, "
            "M (30 days) and y (365 days).",
            converter=_duration,
            group=_EXPIRY,
        ),
    ] = None,
) -> str:
    """Create a key and print it.

    Only the key is printed. It is not stored, so it cannot be shown again.
    """
    values = {"kind": KeyKind(kind), "account": account, "new_account": new_account, "name": name}
    given = check(CreateKey, {**values, "expires_at": expires_at, "expires_in": expires_in})
    settings = settings_of_command()
    async with open_database(settings) as database, database.write() as session:
        new = await create_key(session, command("keys create"), policy_of(settings), given)
    return new.token


@keys.command(name="list")
async def list_(
    *,
    kind: Annotated[
        Literal["secret", "public", "restricted", "session"] | None,
        Parameter(
            help="List only keys of this kind. By default, keys of all kinds except sessions are listed."
        ),
    ] = None,
    as_json: AsJson = False,
) -> str:
    """List keys of all accounts, including revoked and expired keys.

    Only the prefix and the last four characters of each key are shown. The lines below a key say what it is
    limited to, and which key created it. A secret key has every scope, so its scopes are not shown.
    """
    settings = settings_of_command()
    async with open_database(settings) as database, database.read() as session:
        found = await list_keys(session, policy_of(settings), None if kind is None else KeyKind(kind))
    return as_json_text(found) if as_json else _as_table(found)


@keys.command
async def revoke(
    id_or_token: Annotated[
        str,
        Parameter(
            help="The key's id, as `keys list` shows it, or the key itself. With -, either is read "
            "from standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
) -> str:
    """Revoke a key.

    The key stops working within a second, on every running server. A key given as an argument is visible in
    the process list and stays in the shell's history. To avoid this, pass the key's id, or pass - and give
    the key on standard input.
    """
    if id_or_token == _STANDARD_INPUT:
        id_or_token = _read_key()
    settings = settings_of_command()
    async with open_database(settings) as database, database.write() as session:
        revoked = await revoke_key(session, command("keys revoke"), policy_of(settings), id_or_token)
    return f"The key {revoked.id} {'was already revoked' if revoked.was_revoked else 'is revoked'}."


@keys.command
async def rotate(
    *,
    app: Annotated[str, Parameter(validator=not_empty, help="The app's slug.")],
    retire: Annotated[
        Literal["after-last-expiry", "immediately"],
        Parameter(
            help="When old keys stop being published: each of them by default 60 days after its last token "
            "expires, or all of them immediately."
        ),
    ] = "after-last-expiry",
) -> str:
    """Replace an app's signing key, and sign a new token for every active license.

    Servers can keep running: the new key and the new tokens take effect at the same moment, after the last
    token is signed. If the command is interrupted, run it again to continue. On a terminal, a progress bar is
    shown.
    """
    async with open_database_and_keyring(settings_of_command()) as (database, keyring):
        with progress_bar() as bar:
            task = bar.add_task("Licenses", total=None)
            rotated = await rotate_any_app(
                database,
                keyring,
                command("keys rotate"),
                app,
                immediately=retire == "immediately",
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    licenses = f"{rotated.licenses_resigned:,} active license{'' if rotated.licenses_resigned == 1 else 's'}"
    return (
        f"Replaced the signing key of {app} and signed new tokens for {licenses}.\n"
        f"The new public key is at /api/v1/apps/{app}/public-key"
    )


def _as_table(found: Sequence[ListedKey]) -> str:
    """Return keys as a table. The limits of a key are in lines below it, because they can be long."""
    headings, *rows = table_lines(
        _HEADINGS,
        [
            (
                *(key.id, key.account, key.kind, key.name, key.key),
                *(key.created_at, key.last_used_at, key.expires_at, key.revoked_at),
            )
            for key in found
        ],
    )
    lines = [headings]
    for key, row in zip(found, rows, strict=True):
        lines += [row, *detail_lines(_limits_of(key))]
    return "\n".join(lines)


def _limits_of(key: ListedKey) -> Mapping[str, str]:
    """Return what a key is limited to, and the key that created it."""
    documents = None if key.documents == "any" else "registered"
    if documents and key.document_sets is not None:
        documents += f", in {', '.join(key.document_sets)}"
    shown = {
        "scopes": None if key.kind == KeyKind.SECRET else ", ".join(key.scopes),
        "apps": None if key.apps is None else ", ".join(key.apps) or "none: they were deleted",
        "origins": None if key.origins is None else ", ".join(key.origins),
        "documents": documents,
        "created by": key.created_by,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _read_key() -> str:
    """Return the first line of standard input. On a terminal, prompt for the line without echo."""
    if sys.stdin.isatty():
        return getpass("Key: ").strip()
    return sys.stdin.buffer.readline(_LONGEST_LINE).decode(errors="replace").strip()
