"""`demo`: creates exactly the requested number of realistic rows, stored as the APIs would store them."""

import asyncio
import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import jwt
from sqlalchemy import func, select

from commands.believable import (
    CUSTOMER_COLUMNS,
    FEATURES,
    GRANTS,
    LICENSE_COLUMNS,
    PAST,
    TIERS,
    Believable,
    _email,
)
from db import clock
from db.apps import apps
from db.customers import customers
from db.emails import email_key
from db.engine import Database
from db.ids import prefix_of
from db.licenses import licenses
from db.signing_keys import signing_keys
from db.tiers import tiers
from db.tokens import tokens
from db.types import fold
from resolvers.customers import CreateCustomer
from resolvers.inputs import check, parse_uuid
from tests.commands.conftest import Command
from tests.keyrings import MASTER_KEY
from tests.processes import run, run_on_terminal


async def test_each_run_loads_the_requested_rows_into_a_new_app(tmp_path: Path, unmigrated_url: str) -> None:
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
    assert first.stdout.startswith("A new master key was written to ")
    assert "\nLoaded 120 customers and 240 licenses into the app demo in " in first.stdout
    assert second.stdout.startswith("Loaded 1 customers and 0 licenses into the app demo-2 in ")
    database = Database(unmigrated_url)
    counted = select(
        apps.c.slug,
        apps.c.name,
        select(func.count()).where(customers.c.app_id == apps.c.id).scalar_subquery(),
        select(func.count()).where(licenses.c.app_id == apps.c.id).scalar_subquery(),
    ).order_by(apps.c.slug)
    async with database.write() as session:
        counts = [tuple(row) for row in await session.execute(counted)]
        kept = (await session.execute(select(customers.c.metadata).limit(1))).scalar_one()
    await database.close()
    assert counts == [("demo", "Lumen Notes", 120, 240), ("demo-2", "Lumen Notes 2", 1, 0)]
    assert list(kept) == ["plan", "country"]


async def test_licenses_are_like_those_issued_through_the_api(
    command: Command, database_url: str, database: Database
) -> None:
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}

    done = await asyncio.to_thread(command, "demo", "--customers", "50", **variables)

    assert done.returncode == 0, done.stderr
    statement = select(
        licenses,
        tokens.c.jti,
        tokens.c.number,
        tokens.c.generation,
        tokens.c.token,
        tiers.c.slug.label("tier"),
        signing_keys.c.id.label("kid"),
        signing_keys.c.public_key_pem,
    ).select_from(
        licenses.join(tokens, tokens.c.license_id == licenses.c.id)
        .join(signing_keys, signing_keys.c.app_id == licenses.c.app_id)
        .outerjoin(tiers, tiers.c.id == licenses.c.tier_id)
    )
    async with database.write() as session:
        issued = (await session.execute(statement)).mappings().all()
    features_of = {slug: list(features) for slug, _, features in TIERS}
    assert len(issued) == 150
    assert {row["tier"] for row in issued} >= {"starter", "team", "business"}
    assert any(row["own_features"] for row in issued)
    for row in issued:
        token = row["token"]
        claims = jwt.decode(
            token,
            row["public_key_pem"],
            algorithms=["EdDSA"],
            audience="demo",
            options={"verify_exp": False},
        )
        expiry = {} if row["expires_at"] is None else {"exp": int(row["expires_at"].timestamp())}
        assert claims == {
            "sub": row["installation_id"],
            "aud": "demo",
            "iss": "license-server",
            "iat": int(row["created_at"].timestamp()),
            **expiry,
            "jti": row["jti"],
            "tier": row["tier"],
            "features": [*features_of.get(row["tier"], []), *row["own_features"]],
            "lic_id": row["id"],
        }
        assert row["features"] == claims["features"]
        assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": row["kid"]}
        assert (row["number"], row["generation"]) == (1, 1)


def test_tiers_and_grants_only_have_known_features() -> None:
    slugs = {slug for slug, *_ in FEATURES}
    of_tier: dict[str | None, set[str]] = {slug: set(features) for slug, _, features in TIERS}

    assert all(list(features) == sorted(features) and set(features) <= slugs for _, _, features in TIERS)
    for tier, own, _ in GRANTS:
        assert list(own) == sorted(own)
        assert set(own) <= slugs - of_tier.get(tier, set())
    assert sum(weight for *_, weight in GRANTS) == 100


def test_rows_are_like_those_written_through_the_api() -> None:
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
        assert row["email_key"] == email_key(row["email"])
        assert row["name_folded"] == (row["name"] and fold(row["name"]))
        assert prefix_of(row["id"]) == "cus"
    assert {row["updated_at"] == row["created_at"] for row in rows} == {True}
    assert [row["customer_id"] for row in owned] == [row["id"] for row in rows for _ in range(3)]
    for license in owned:
        assert license["installation_id"] == parse_uuid(license["installation_id"])
        assert license["is_current"] is True
        assert license["updated_at"] == (license["revoked_at"] or license["created_at"])
        assert (license["revoked_at"] is None) == (license["revoked_reason"] is None)


def test_rows_are_spread_over_the_past_in_order() -> None:
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
    printed, shown = run_on_terminal(tmp_path, "demo", "--customers", "3000")

    assert "3000/3000" in shown
    assert "\nLoaded 3,000 customers and 9,000 licenses" in printed
