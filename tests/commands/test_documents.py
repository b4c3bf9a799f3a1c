"""`documents`: registers the documents that build tools write, checks and lists them, and deletes sets."""

import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.engine import Database
from tests.commands.conftest import Command, filled
from tests.factories import Account, make_account, make_document, make_key
from tests.processes import run, serving, until

TEXT = "query Apps($first: Int) {\n  apps(first: $first) {\n    totalCount\n  }\n}\n"
OTHER = "query Viewer { viewer { accountName } }"
MD5 = hashlib.md5(TEXT.encode()).hexdigest()  # as Relay's compiler makes ids


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def manifest(*operations: Any, **changes: Any) -> dict[str, Any]:
    found = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": list(operations)}
    return {**found, **changes}


def operation(text: str, id: str | None = None) -> dict[str, str]:
    return {"id": id or sha(text), "name": "Apps", "type": "query", "body": text}


NO_FORMAT = (
    "documents.json has no known format: neither an object of ids and texts, nor "
    "apollo-persisted-query-manifest"
)
OTHER_FORMAT = (
    "documents.json has an unknown format: only version 1 of apollo-persisted-query-manifest is read"
)

UNKNOWN: list[Any] = [[], "text", None, 1, {"a": 1}, {"a": {"b": "c"}}, manifest({"id": "a"})]

FILES = {
    "Relay": {MD5: TEXT},
    "Relay with SHA256": {sha(TEXT): TEXT},
    "graphql-codegen": {f"sha256:{sha(TEXT)}": TEXT},
    "graphql-codegen with sha1": {"a" * 40: TEXT},
    "Apollo": manifest(operation(TEXT)),
    "Apollo with ids": manifest(operation(TEXT, "Apps")),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "documents.json"


def write(file: Path, content: object) -> str:
    file.write_text(json.dumps(content))
    return file.name


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_what_build_tools_write_is_registered(
    command: Command, database_url: str, file: Path, content: dict[str, Any]
) -> None:
    filled(database_url, make_account)

    first = command("documents", "add", write(file, content), "--set", "a@1", DATABASE_URL=database_url)
    again = command("documents", "add", file.name, "--set", "a@1", DATABASE_URL=database_url)

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "Added 1 document to the set a@1. It had 0 of them already.\n"
    assert again.stdout == "Added 0 documents to the set a@1. It had 1 of them already.\n"


def test_a_server_runs_what_the_command_registers_until_its_set_is_deleted(
    command: Command, tmp_path: Path, database_url: str, file: Path
) -> None:
    variables = {"DATABASE_URL": database_url}
    token = command("keys", "create", "--kind", "secret", **variables).stdout.strip()
    # The command registers the text under this id. The server, which is another process, finds it by the id.
    body = {"documentId": MD5, "variables": {"first": 1}}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/graphql-response+json"}

    with serving(tmp_path, **variables) as server:

        def status() -> int:
            return httpx.post(f"{server.url}/graphql", json=body, headers=headers).status_code

        assert status() == 400
        added = run(tmp_path, "documents", "add", write(file, {MD5: TEXT}), "--set", "a@1", **variables)
        assert added.returncode == 0, added.stderr
        assert [status(), status()] == [200, 200]

        deleted = command("documents", "delete", "a@1", **variables)
        time.sleep(1)
        assert status() == 400
    assert deleted.stdout == "Deleted the set a@1, which had 1 document.\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "documents.json is not JSON"),
        (b"", "documents.json is not JSON"),
        (b"\xff\xfe", "documents.json is not JSON"),
        (b"[" * 100_000, "documents.json is not JSON"),
        (b"{}", "documents.json has no documents"),
        (json.dumps(manifest()).encode(), "documents.json has no documents"),
        *(
            (
                json.dumps(content).encode(),
                NO_FORMAT,
            )
            for content in UNKNOWN
        ),
        *(
            (
                json.dumps(content).encode(),
                OTHER_FORMAT,
            )
            for content in (manifest(version=2), manifest(version="1"), manifest(format="other"))
        ),
        *(
            (
                json.dumps(content).encode(),
                "documents.json must have a list of operations, each with an id and a body",
            )
            for content in (manifest(operations=None), manifest(operations={}), manifest("a"), manifest({}))
        ),
    ],
)
def test_other_files_are_one_line_and_exit_1(
    command: Command, file: Path, content: bytes, message: str
) -> None:
    file.write_bytes(content)

    done = command("documents", "add", file.name, "--set", "a@1")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"licensegraph: {message}\n"


def test_a_missing_file_is_one_line_and_exit_1(command: Command) -> None:
    done = command("documents", "add", "missing.json", "--set", "a@1")

    assert (done.returncode, done.stderr) == (
        1,
        "licensegraph: missing.json: No such file or directory\n",
    )


def test_all_wrong_documents_are_named_by_their_ids_and_none_is_registered(
    command: Command, database_url: str, file: Path
) -> None:
    variables = {"DATABASE_URL": database_url}
    content = {"good": TEXT, "broken": "{ appz }", "a b": TEXT, sha(OTHER): TEXT}

    done = command("documents", "add", write(file, content), "--set", "a@1", **variables)

    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(
        "licensegraph: broken: the text is not valid: Cannot query field 'appz' on type 'Query'."
    )
    assert lines[1].startswith("licensegraph: a b: the id must be sha256: and 64 digits of 0-9 and a-f, or ")
    assert lines[2] == f"licensegraph: {sha(OTHER)}: the id is not the SHA-256 of the text"
    assert len(lines) == 3
    assert json.loads(command("documents", "list", "--json", **variables).stdout) == []


def test_a_wrong_set_is_a_wrong_option(command: Command, file: Path) -> None:
    done = command("documents", "add", write(file, {MD5: TEXT}), "--set", "two words")

    assert (done.returncode, done.stderr) == (
        2,
        "licensegraph: --set must be letters, digits and . _ @ / -\n",
    )


def test_more_documents_than_one_call_takes_are_added(
    command: Command, database_url: str, file: Path
) -> None:
    filled(database_url, make_account)
    content = {f"id{number}": f"query Q{number} {{ __typename }}" for number in range(1_100)}

    done = command("documents", "add", write(file, content), "--set", "a@1", DATABASE_URL=database_url)

    assert done.stdout == "Added 1,100 documents to the set a@1. It had 0 of them already.\n"


def test_the_account_must_be_given_if_there_are_several(
    command: Command, database_url: str, file: Path
) -> None:
    for name in ("Acme", "Beta"):
        filled(database_url, partial(make_account, name=name))
    add = ("documents", "add", write(file, {MD5: TEXT}), "--set", "a@1")

    unnamed = command(*add, DATABASE_URL=database_url)
    misspelt = command(*add, "--account", "Acne", DATABASE_URL=database_url)
    named = command(*add, "--account", "Beta", DATABASE_URL=database_url)
    listed = json.loads(command("documents", "list", "--json", DATABASE_URL=database_url).stdout)
    elsewhere = command("documents", "delete", "a@1", "--account", "Acme", DATABASE_URL=database_url)
    deleted = command("documents", "delete", "a@1", "--account", "Beta", DATABASE_URL=database_url)

    assert (unnamed.returncode, unnamed.stderr) == (
        2,
        "licensegraph: --account is required: there are several accounts: Acme, Beta\n",
    )
    assert (misspelt.returncode, misspelt.stderr) == (
        1,
        "licensegraph: account does not exist (there are: Acme, Beta)\n",
    )
    assert named.returncode == 0
    assert [(each["account"], each["set"], each["documents"]) for each in listed] == [("Beta", "a@1", 1)]
    assert (elsewhere.returncode, elsewhere.stderr) == (1, "licensegraph: set does not exist\n")
    assert deleted.stdout == "Deleted the set a@1, which had 1 document.\n"


def test_check_names_the_texts_that_the_schema_no_longer_accepts(command: Command, database_url: str) -> None:
    async def fill(database: Database) -> Account:
        account = await make_account(database, name="Acme")
        await make_document(database, account)
        return account

    async def break_it(database: Database) -> None:
        await make_document(database, account, text="{ gone }", document_id="x-portal:Gone", set="portal@1")
        await make_document(database, account, text="{ apps { totalCount } }")

    account = filled(database_url, fill)
    fine = command("documents", "check", DATABASE_URL=database_url)
    filled(database_url, break_it)

    found = command("documents", "check", DATABASE_URL=database_url)

    assert (fine.returncode, fine.stdout) == (0, "All registered documents are valid.\n")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        "licensegraph: Acme, portal@1, x-portal:Gone: the text is not valid: Cannot query field 'gone' on "
        "type 'Query'. Did you mean 'node'? (line 1, column 3)\n"
    )


def test_check_applies_the_limits_of_the_settings(command: Command, database_url: str) -> None:
    async def fill(database: Database) -> None:
        await make_document(database, await make_account(database), text="{ apps { nodes { id } } }")

    filled(database_url, fill)

    found = command("documents", "check", DATABASE_URL=database_url, LICENSEGRAPH_MAX_COST="10")

    assert found.returncode == 1
    assert "The document could return 20 objects; at most 10 are allowed." in found.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_broken_documents_are_logged_once_when_a_server_starts(
    tmp_path: Path, database_url: str, workers: str
) -> None:
    async def fill(database: Database) -> tuple[str, str]:
        account = await make_account(database)
        await make_document(database, account)
        return account.id, await make_document(database, account, text="query Secret { gone }")

    account_id, broken = filled(database_url, fill)

    with serving(tmp_path, "--workers", workers, DATABASE_URL=database_url) as server:
        until(lambda: broken in (tmp_path / "server.log").read_text(), 20)
        time.sleep(1 if workers == "2" else 0)  # the other worker might log it, too
        assert server.stop() == 0

    log = (tmp_path / "server.log").read_text()
    lines = [line for line in log.splitlines() if "document.broken" in line]
    assert len(lines) == 1
    assert f"document={broken}" in lines[0]
    assert f"account={account_id}" in lines[0]
    assert "gone" not in log
    assert "Secret" not in log


def test_the_last_use_is_stored_when_a_server_stops(
    command: Command, tmp_path: Path, database_url: str
) -> None:
    async def fill(database: Database) -> str:
        account = await make_account(database)
        await make_document(database, account, text=OTHER, set="used")
        await make_document(database, account, text=TEXT, set="unused")
        return await make_key(database, account, documents="registered")

    token = filled(database_url, fill)

    with serving(tmp_path, DATABASE_URL=database_url) as server:
        headers = {"Authorization": f"Bearer {token}"}
        response = httpx.post(f"{server.url}/graphql", json={"query": OTHER}, headers=headers)
        assert response.status_code == 200
        server.process.terminate()
        server.process.wait()
    listed = json.loads(command("documents", "list", "--json", DATABASE_URL=database_url).stdout)

    used = {each["set"]: each["last_used_at"] for each in listed}
    assert used["unused"] is None
    assert used["used"] is not None
