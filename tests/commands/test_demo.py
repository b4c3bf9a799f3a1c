"""`demo`: believable rows, exactly as many as were asked for, as the doors would have stored them."""

import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from sqlalchemy import func, select

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, PAST, Believable, _email
from db import clock
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.ids import prefix_of
from db.licenses import licenses
from db.types import fold
from resolvers.customers import CreateCustomer
from resolvers.inputs import check, parse_uuid
from tests.processes import PROGRAM, run


async def test_loads_what_was_asked_for_into_a_new_app_each_time(tmp_path: Path, unmigrated_url: str) -> None:
    first = run(
        tmp_path,
        "demo",
        "--customers",
        "120",
        "--licenses-per-customer",
        "2",
        DATABASE_URL=unmigrated_url,
    )
    second = run(
        tmp_path, "demo", "--customers", "1", "--licenses-per-customer", "0", DATABASE_URL=unmigrated_url
    )

    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert first.stdout.startswith("Loaded 120 customers and 240 licenses into the app demo in ")
    assert second.stdout.startswith("Loaded 1 customers and 0 licenses into the app demo-2 in ")
    database = Database(unmigrated_url)
    counted = select(
        apps.c.slug,
        select(func.count()).where(customers.c.app_id == apps.c.id).scalar_subquery(),
        select(func.count()).where(licenses.c.app_id == apps.c.id).scalar_subquery(),
    ).order_by(apps.c.slug)
    async with database.write() as session:
        counts = [tuple(row) for row in await session.execute(counted)]
        kept = (await session.execute(select(customers.c.metadata).limit(1))).scalar_one()
    await database.close()
    assert counts == [("demo", 120, 240), ("demo-2", 1, 0)]
    assert list(kept) == ["plan", "country"]


def test_rows_are_as_a_door_would_have_made_them() -> None:
    now = clock.now()
    batches = list(Believable("app_x", 700, 3, now).batches(500))

    rows = [dict(zip(CUSTOMER_COLUMNS, row, strict=True)) for batch in batches for row in batch.customers]
    owned = [dict(zip(LICENSE_COLUMNS, row, strict=True)) for batch in batches for row in batch.licenses]

    assert (len(rows), len(owned)) == (700, 2_100)
    assert all(len(batch.customers) + len(batch.licenses) <= 500 for batch in batches)
    for row in rows:
        values = {name: row[name] for name in ("email", "name", "external_id")}
        values["metadata"] = json.loads(row["metadata"])
        assert check(CreateCustomer, values).model_dump() == values
        assert row["email_folded"] == fold(row["email"])
        assert row["name_folded"] == (row["name"] and fold(row["name"]))
        assert prefix_of(row["id"]) == "cus"
    assert {row["updated_at"] == row["created_at"] for row in rows} == {True}
    assert [row["customer_id"] for row in owned] == [row["id"] for row in rows for _ in range(3)]
    for license in owned:
        assert license["installation_id"] == parse_uuid(license["installation_id"])
        assert license["is_current"] is True
        assert license["updated_at"] == (license["revoked_at"] or license["created_at"])
        assert (license["revoked_at"] is None) == (license["revoked_reason"] is None)


def test_rows_are_spread_over_the_past_in_the_order_of_time() -> None:
    now = clock.now()
    (batch,) = Believable("app_x", 700, 3, now).batches(10_000)

    created = [dict(zip(CUSTOMER_COLUMNS, row, strict=True))["created_at"] for row in batch.customers]
    owned = [dict(zip(LICENSE_COLUMNS, row, strict=True)) for row in batch.licenses]
    text = clock.as_text(now)

    assert all(earlier <= later for earlier, later in pairwise(created))
    assert created[0] < clock.as_text(now - PAST + timedelta(days=3))
    assert clock.as_text(now - timedelta(days=3)) < created[-1] <= text
    assert [license["created_at"] for license in owned] == [moment for moment in created for _ in range(3)]
    revoked = [license for license in owned if license["revoked_at"]]
    assert all(license["created_at"] < license["revoked_at"] < text for license in revoked)
    expired = [license for license in owned if (license["expires_at"] or "9") <= text]
    forever = [license for license in owned if license["expires_at"] is None]
    assert 100 < len(revoked) < 400
    assert 500 < len(expired) < 1_500
    assert 200 < len(forever) < 400


def test_no_two_customers_share_an_email() -> None:
    emails = {_email(number) for number in range(400_000)}

    assert len(emails) == 400_000
    assert all(email.isascii() and ".." not in email for email in emails)


def test_a_terminal_gets_a_progress_bar(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    done = subprocess.run(
        [sys.executable, PROGRAM, "demo", "--customers", "3000"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=child,
        timeout=60,
        check=True,
    )
    os.close(child)
    shown = os.read(parent, 65_536).decode()
    os.close(parent)

    assert "3000/3000" in shown
    assert done.stdout.startswith(b"Loaded 3,000 customers and 9,000 licenses")
