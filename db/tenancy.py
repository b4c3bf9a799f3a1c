"""Tenancy: what a request can reach, as conditions in SQL.

For the request, no other rows exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from sqlalchemy import BindParameter, ColumnElement, Text, and_, bindparam, exists, not_, or_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from db.shaping.json import ids_in, texts_in

Row: TypeAlias = Mapping[str, Any] | ReadOnlyColumnCollection[str, Any]

ACCOUNT: BindParameter[str] = bindparam("account", type_=Text())
"""The account that a statement is limited to."""

_APPS: BindParameter[str] = bindparam("apps", type_=Text())
_CUSTOMER: BindParameter[str] = bindparam("customer", type_=Text())


@dataclass(frozen=True, slots=True)
class Tenant:
    """What a request can reach: an account, some of its apps (`app_ids`), or one of its customers.

    `parameters` are the values of the parameters in the conditions below.
    """

    account_id: str
    app_ids: tuple[str, ...] | None = None
    customer_id: str | None = None
    parameters: Mapping[str, str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        apps = None if self.app_ids is None else orjson.dumps(self.app_ids).decode()
        parameters = {"account": self.account_id, "apps": apps, "customer": self.customer_id}
        object.__setattr__(self, "parameters", parameters)

    @property
    def is_account(self) -> bool:
        """Whether the whole account can be reached."""
        return self.app_ids is None and self.customer_id is None

    def reaches(self, account_id: str, app_id: str) -> bool:
        """Whether everything in this app of this account can be reached."""
        return (
            self.account_id == account_id
            and self.customer_id is None
            and (self.app_ids is None or app_id in self.app_ids)
        )


def within_apps(app: Row) -> ColumnElement[bool]:
    """Whether an app belongs to the account and, if the tenant is limited to some apps, is one of them."""
    return and_(app["account_id"] == ACCOUNT, or_(_APPS.is_(None), ids_in(app["id"], _APPS)))


def within_app_list(app_ids: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the tenant can reach every app in a JSON array of app ids. null stands for every app."""
    listed = texts_in(app_ids).table_valued("value", name="listed")
    other = exists().select_from(listed).where(not_(ids_in(listed.c.value, _APPS))).correlate_except(listed)
    return or_(_APPS.is_(None), and_(app_ids.is_not(None), not_(other)))


def is_listed(app: Row) -> ColumnElement[bool]:
    """Whether an app is one of the tenant's apps. Only for a tenant that is limited to some apps."""
    return ids_in(app["id"], _APPS)


def is_customer(id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether this is the id of the tenant's customer.

    True for a tenant that is not limited to one customer.
    """
    return or_(_CUSTOMER.is_(None), id == _CUSTOMER)


def is_own_customer(id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether this is the id of the tenant's customer. Only for a tenant that is limited to one customer."""
    return id == _CUSTOMER


def is_no_customer() -> ColumnElement[bool]:
    """Whether the tenant is not limited to one customer."""
    return _CUSTOMER.is_(None)
