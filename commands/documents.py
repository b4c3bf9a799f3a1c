"""`documents`: register GraphQL documents for keys that may send no others; check, list and delete them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from commands.database import open_database, settings_of_command
from commands.limits import limits_of
from commands.listing import AsJson, as_json_text, as_table
from db.events import command
from resolvers.accounts import chosen_account
from resolvers.documents import BrokenDocument, Checked, CheckText, broken, delete_set, list_sets, register
from resolvers.errors import Fault, Faults, Refused
from schema.graph import graphql_schema
from schema.pipeline.documents import Documents
from schema.pipeline.worker import Worker
from settings import Settings

documents = App(
    name="documents",
    help="Register GraphQL documents for keys that may send no others; check, list and delete them.",
)

APOLLO = "apollo-persisted-query-manifest"
_HEADINGS = ("ACCOUNT", "SET", "DOCUMENTS", "REGISTERED", "USED")

Account = Annotated[
    str | None,
    Parameter(
        help="The account's name. Optional if there is only one account. `accounts list` shows them all."
    ),
]


@documents.command
async def add(
    file: Annotated[Path, Parameter(help="The file that a build tool has written.")],
    /,
    *,
    set: Annotated[str, Parameter(help="The name of the set, for example portal@1.4.2.")],
    account: Account = None,
) -> str:
    """Register the documents in a file, all of them or none.

    Two formats are read: a JSON object of ids and texts (Relay's persistConfig.file, and the
    persisted-documents.json of graphql-codegen), and Apollo's manifest. Documents that are in the set already
    stay as they are.
    """
    texts = _read(file)
    settings = settings_of_command()
    given = [{"text": text, "document_id": id} for id, text in texts.items()]
    async with open_database(settings) as database:
        async with database.write() as session:
            account_id = await chosen_account(session, account)
        try:
            values = {"set": set, "documents": given}
            done = await register(database, command("documents add"), account_id, _check(settings), values)
        except Faults as faults:
            raise _named(faults, list(texts)) from None
    return f"Added {_count(done.added)} to the set {set}. It had {len(texts) - done.added:,} of them already."


@documents.command
async def check() -> str:
    """Check all registered documents, and list those that the schema or a limit no longer accepts.

    Exits with status 1 if it lists any. Before you deploy other limits or a new version, run it with them.
    """
    settings = settings_of_command()
    async with open_database(settings) as database:
        found = await broken(database, _check(settings))
    if found:
        raise Refused("\n".join(_line(each, error) for each in found for error in each.errors))
    return "All registered documents are valid."


@documents.command(name="list")
async def list_(
    *,
    as_json: AsJson = False,
) -> str:
    """List all sets of registered documents, and when any document of each set was last used."""
    async with open_database(settings_of_command()) as database, database.read() as session:
        found = await list_sets(session)
    return as_json_text(found) if as_json else as_table(_HEADINGS, found)


@documents.command
async def delete(
    set: Annotated[str, Parameter(help="The set, as `documents list` shows it.", allow_leading_hyphen=True)],
    /,
    *,
    account: Account = None,
) -> str:
    """Delete a set of documents.

    Keys that may only send registered documents can then no longer send the documents of this set, unless the
    key may use another set that has them. This takes effect within a second, on every running server.
    """
    async with open_database(settings_of_command()) as database, database.write() as session:
        account_id = await chosen_account(session, account)
        deleted = await delete_set(session, command("documents delete"), account_id, {"set": set})
    return f"Deleted the set {set}, which had {_count(deleted)}."


def _read(file: Path) -> Mapping[str, str]:
    """Return the texts in a file by their ids. Raises Refused."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise Refused(f"{file} is not JSON") from None
    if isinstance(content, dict) and "format" in content and not _are_texts(content):
        content = _of_apollo(file, content)
    if not isinstance(content, dict) or not _are_texts(content):
        raise Refused(f"{file} has no known format: neither an object of ids and texts, nor {APOLLO}")
    if not content:
        raise Refused(f"{file} has no documents")
    return content


def _of_apollo(file: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    if manifest["format"] != APOLLO or manifest.get("version") != 1:
        raise Refused(f"{file} has an unknown format: only version 1 of {APOLLO} is read")
    operations = manifest.get("operations")
    if not isinstance(operations, list) or not all(
        isinstance(each, dict) and isinstance(each.get("id"), str) for each in operations
    ):
        raise Refused(f"{file} must have a list of operations, each with an id and a body")
    return {each["id"]: each.get("body") for each in operations}


def _are_texts(content: Mapping[str, Any]) -> bool:
    return all(isinstance(text, str) for text in content.values())


def _check(settings: Settings) -> CheckText:
    pipeline = Documents(graphql_schema, limits_of(settings), Worker(), introspection=settings.introspection)

    async def check_text(text: str) -> Checked:
        return pipeline.checked(text)

    return check_text


def _named(faults: Faults, ids: Sequence[str]) -> Exception:
    """Return an error whose message identifies each document by its id instead of its place in the input.

    If any fault is not about a document, the faults are returned unchanged.
    """
    if any(len(fault.field) < 3 for fault in faults.faults):
        return faults
    return Refused("\n".join(_sentence(fault, ids[int(fault.field[1])]) for fault in faults.faults))


def _sentence(fault: Fault, id: str) -> str:
    subject = "the text" if fault.field[2] == "text" else "the id"
    return f"{id}: {subject} {fault.written()}"


def _line(each: BrokenDocument, error: str) -> str:
    document = each.document
    return f"{document.account}, {document.set}, {document.document_id}: the text {error}"


def _count(number: int) -> str:
    return f"{number:,} document{'' if number == 1 else 's'}"
