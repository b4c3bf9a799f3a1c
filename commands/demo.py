"""`demo`: load believable data into a new app."""

import time
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, PAST, Believable
from commands.migrate import opened
from db import apps, clock, ids
from db.customers import customers as customers_table
from db.engine import Database
from db.licenses import licenses as licenses_table
from db.types import fold
from resolvers.accounts import default_account
from settings import read_settings

APP_NAME, APP_SLUG = "Lumen Notes", "demo"
ROWS_PER_TRANSACTION = 20_000


async def demo(
    *,
    customers: Annotated[int, Parameter(validator=Number(gte=1), help="How many customers.")] = 1_000,
    licenses_per_customer: Annotated[
        int, Parameter(validator=Number(gte=0, lte=1_000), help="How many licenses each of them has.")
    ] = 3,
) -> str:
    """Load believable customers and licenses into a new app of the first account.

    They are dated over the past two years. A progress bar is shown on a terminal.
    """
    started = time.perf_counter()
    async with opened(read_settings()) as database:
        now = clock.now()
        app_id, slug = await _make_app(database, now)
        data = Believable(app_id, customers, licenses_per_customer, now)
        with _bar() as bar:
            task = bar.add_task("Customers", total=customers)
            for batch in data.batches(ROWS_PER_TRANSACTION):
                async with database.write() as session:
                    await session.load(customers_table, CUSTOMER_COLUMNS, batch.customers)
                    await session.load(licenses_table, LICENSE_COLUMNS, batch.licenses)
                bar.advance(task, len(batch.customers))
    licenses = customers * licenses_per_customer
    seconds = time.perf_counter() - started
    return f"Loaded {customers:,} customers and {licenses:,} licenses into the app {slug} in {seconds:.1f} s."


def _bar() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


async def _make_app(database: Database, now: datetime) -> tuple[str, str]:
    """Make the app, as old as its first customers, and answer its id and slug."""
    new = ids.new_id(ids.APP, now - PAST)
    row = {
        "id": new.id,
        "name": APP_NAME,
        "name_folded": fold(APP_NAME),
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }
    async with database.write() as session:
        account_id = await default_account(session)
        slug, number = APP_SLUG, 1
        while not await apps.insert(session, row | {"account_id": account_id, "slug": slug}):
            number += 1
            slug = f"{APP_SLUG}-{number}"
    return new.id, slug
