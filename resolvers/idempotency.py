"""Idempotency keys: a request that is sent again with its key has its effect once, and the same outcome.

    the operation: reads, then one transaction: claim, changes, outcome → commit

The whole operation gets one transaction (`db.one_transaction`). Its first statement inserts the claim, so a
second request with the same key waits for it, and its last statement stores the outcome. So the changes and
the outcome are committed together or not at all. A refusal rolls back, so its repeat counts as a first
request. The operation is not looked up before it runs, because almost every request is a first one. A repeat
fails to insert the claim, or fails earlier, because what it does is done already. Then it gets the stored
outcome. If an operation writes nothing, one statement stores the claim with the outcome.

An outcome is JSON, and only its caller knows its form. It is stored sealed, because it may have secrets that
are shown once.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from functools import partial

from db import clock
from db import idempotency as stored
from db.engine import Database, WriteSession
from db.idempotency import Claim, StoredOutcome
from db.one_transaction import OneTransaction
from resolvers.background import Background
from resolvers.errors import InProgress, KeyReused
from resolvers.keyring import Keyring

WAIT_S = 1.0
"""How long a request waits for another one with the same key."""

ROWS_PER_TRANSACTION = 1_000

# Nobody waits for this work, so it is not done while a server starts.
_background = Background("idempotency", after_s=60)

_running: dict[tuple[str, str, str], asyncio.Event] = {}
"""The claims that this process is working on, each with an event that is set at the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a request, as JSON.

    `is_replay` is true if an earlier request with the same key had this outcome. `customer_id` is the
    customer whose personal data the JSON has, if it has any.
    """

    json: bytes
    customer_id: str | None = None
    is_replay: bool = False


def claim_of(key_id: str, scope: str, key: str, input: object) -> Claim:
    """Return the claim of a request. `scope` is what was called, and `input` is what was sent to it.

    Two inputs are equal if their values are, whatever their spacing and the order of their names. Only the
    form of the input is taken into account, because further checks depend on the time.
    """
    written = json.dumps(input, sort_keys=True, separators=(",", ":"), default=_plain)
    return Claim(key_id, scope, key, hashlib.sha256(f"{scope}\0{written}".encode()).hexdigest())


async def once(
    database: Database, keyring: Keyring, claim: Claim, work: Callable[[Database], Awaitable[Outcome]]
) -> Outcome:
    """Do the work of a request, unless a request with the same key has succeeded. Return the outcome.

    `work` gets the database that it writes to. Raises KeyReused, InProgress, and what `work` raises.
    """
    take, look = partial(_take, keyring, claim), partial(_look, database, keyring, claim)
    async with _turn(claim):
        try:
            async with OneTransaction(database, take, look) as transaction:
                outcome = await work(transaction)
                sealed = keyring.seal(outcome.json, _about(claim))
                if transaction.has_begun:
                    async with transaction.write() as session:
                        await stored.settle(session, claim, sealed, outcome.customer_id)
                elif not await stored.add(database, claim, sealed, outcome.customer_id):
                    await look()
        except _Repeated as repeated:
            return repeated.outcome
        except (KeyReused, InProgress):
            raise
        except Exception:
            # An earlier request may have done the work, which can be why it failed here.
            found = await _find(database, keyring, claim)
            if found is None:
                raise
            return found
        else:
            return outcome


async def forget(database: Database, hours: int) -> int:
    """Delete the outcomes that are older than `hours`, in batches. Return how many were deleted."""
    before = clock.now() - timedelta(hours=hours)
    async with database.read() as session:
        more = await stored.has_old(session, before)
    deleted = 0
    while more:
        async with database.write() as session:
            batch = await stored.delete_old(session, before, ROWS_PER_TRANSACTION)
        deleted += batch
        more = batch == ROWS_PER_TRANSACTION
    return deleted


def forgetting(database: Database, hours: int) -> AbstractAsyncContextManager[None]:
    """Delete old outcomes in the background while the block runs."""
    return _background.running(database, partial(forget, database, hours))


class _Repeated(Exception):
    """An earlier request with the same key has succeeded."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@asynccontextmanager
async def _turn(claim: Claim) -> AsyncIterator[None]:
    """Wait until no other request of this process works on the claim. Raises InProgress after `WAIT_S`.

    Requests of other processes are waited for in the transaction. If those of this process were, too, they
    would take up its connections.
    """
    id = (claim.key_id, claim.scope, claim.key)
    try:
        async with asyncio.timeout(WAIT_S):
            while id in _running:
                await _running[id].wait()
    except TimeoutError:
        raise InProgress from None
    ended = _running[id] = asyncio.Event()
    try:
        yield
    finally:
        del _running[id]
        ended.set()


async def _take(keyring: Keyring, claim: Claim, session: WriteSession) -> None:
    """Take the claim inside a transaction. Raises _Repeated, KeyReused and InProgress."""
    try:
        found = await stored.take(session, claim, WAIT_S)
    except TimeoutError:
        raise InProgress from None
    if found is not None:
        raise _Repeated(_replay(keyring, claim, found))


async def _look(database: Database, keyring: Keyring, claim: Claim) -> None:
    """Raise _Repeated if an earlier request has succeeded, and KeyReused."""
    found = await _find(database, keyring, claim)
    if found is not None:
        raise _Repeated(found)


async def _find(database: Database, keyring: Keyring, claim: Claim) -> Outcome | None:
    async with database.read() as session:
        found = await stored.find(session, claim)
    return None if found is None else _replay(keyring, claim, found)


def _replay(keyring: Keyring, claim: Claim, found: StoredOutcome) -> Outcome:
    if found.fingerprint != claim.fingerprint:
        raise KeyReused
    return Outcome(keyring.open(found.sealed, _about(claim)), is_replay=True)


def _about(claim: Claim) -> str:
    return "\0".join((claim.key_id, claim.scope, claim.key, claim.fingerprint))


def _plain(value: object) -> object:
    """Return a value of an input in a form that JSON has."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value.value if isinstance(value, Enum) else [type(value).__name__, str(value)]
