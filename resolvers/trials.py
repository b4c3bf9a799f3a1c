"""Trials: each customer and each installation can have one trial of an app (`db.trials`)."""

from collections.abc import Mapping

from db import trials
from db.engine import WriteSession
from db.licenses import StoredLicense
from resolvers.errors import Fault, FaultCode


async def begin(
    session: WriteSession, app_id: str, license_id: str, customer_id: str, installation_id: str
) -> list[Fault]:
    """Note that a license becomes a trial.

    There is a fault if its customer or its installation has had a trial, even with the same license.
    """
    users = {"customer_id": customer_id, "installation_id": installation_id}
    return _faults(users, await trials.note(session, app_id, license_id, users.values()))


async def follow(session: WriteSession, trial: StoredLicense, **users: str) -> list[Fault]:
    """Note the new `customer_id` or `installation_id` of a trial.

    There is a fault if it has had a trial, unless this was the same one.
    """
    had = await trials.note(session, trial.app_id, trial.id, users.values())
    if had:
        had -= await trials.of_license(session, trial.app_id, trial.id, had)
    return _faults(users, had)


def _faults(users: Mapping[str, str], had: set[str]) -> list[Fault]:
    return [
        Fault(FaultCode.TRIAL_USED, "has had a trial of this app", (name,))
        for name, id in users.items()
        if id in had
    ]
