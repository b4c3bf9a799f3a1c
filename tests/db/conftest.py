"""Databases for tests that run on only one kind of database."""

from collections.abc import Iterator

import pytest

from tests.databases import PostgresTemplate, SqliteTemplate


@pytest.fixture
def sqlite_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """The URL of a migrated, empty SQLite database for one test."""
    with sqlite_template.copied() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_template: PostgresTemplate) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database for one test."""
    with postgresql_template.copied() as url:
        yield url
