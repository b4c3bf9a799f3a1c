"""Databases for tests of what only one of the two has."""

from collections.abc import Iterator

import pytest

from tests.databases import PostgresTemplate, SqliteTemplate


@pytest.fixture
def sqlite_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """The URL of a migrated, empty SQLite database of the test's own."""
    with sqlite_template.copied() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_template: PostgresTemplate) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database of the test's own."""
    with postgresql_template.copied() as url:
        yield url
