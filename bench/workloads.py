"""The workloads, each with a request for every contestant that supports it.

All contestants return the same JSON for a workload, except where `Workload.held` and `bench.comparing` allow
a difference. PostGraphile's documents use aliases to get the same names. The hand-written contestant runs
`statements`. It sets the parameters `:account`, `:now` and `:new_id` itself; the other parameters are the
workload's variables. If a workload has several statements, each statement runs only if the previous ones
found nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Variables = Mapping[str, Any]

SLUG = "bench"
"""The slug of the main app, which the requests read."""

UNIQUE = "__unique__"
"""A placeholder in a variable.

The load generator replaces it with ten characters that are different in every request.
"""


@dataclass(frozen=True, slots=True)
class DataSet:
    """The values that requests are built from.

    `skipped` is the number of customers in the main app before W3's page, and `last_skipped` is the id of the
    last of these customers. `customer_ids` and `emails` are samples from all parts of the main app.
    """

    token: str
    skipped: int
    last_skipped: str
    customer_ids: Sequence[str]
    emails: Sequence[str]


@dataclass(frozen=True, slots=True)
class Workload:
    """One request, or many requests of the same kind.

    `variables` returns the variables of each request, given the data and the cursor of the last skipped row.
    The cursor is empty if `is_after_cursor` is false. `held` returns the part of a result on which all
    contestants must agree.
    """

    name: str
    title: str
    variables: Callable[[DataSet, str], Sequence[Variables]]
    document: str | None
    postgraphile: str | None
    statements: Mapping[str, Sequence[str]]
    path: str | None = None
    is_after_cursor: bool = False
    held: Callable[[Any], Any] = lambda answer: answer


def _slug(_data: DataSet, _after: str) -> Sequence[Variables]:
    return [{"slug": SLUG}]


# Parts of documents

_PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
_CUSTOMER = "id email name externalId metadata createdAt"
_LICENSE = "id installationId status expiresAt createdAt"
_ROW_CUSTOMER = "id: rowId email name externalId metadata createdAt"
_ROW_LICENSE = "id: rowId installationId status expiresAt createdAt"
_ROW_LICENSES = "licenses: licensesByCustomerId"
_ROW_CUSTOMERS = "customers: customersByAppId"
_ROW_APP = "app: appBySlug(slug: $slug)"
_NEWEST = "orderBy: PRIMARY_KEY_DESC"

# Parts of statements. On SQLite, JSON around the result of a subquery is built by joining texts, because
# SQLite's JSON functions would parse that result again.

_PG_LICENSE = """
    id, installation_id AS "installationId",
    CASE WHEN revoked_at IS NOT NULL THEN 'REVOKED' WHEN expires_at <= :now THEN 'EXPIRED' ELSE 'ACTIVE' END
        AS status,
    expires_at AS "expiresAt", created_at AS "createdAt"
"""
_PG_CUSTOMER = 'id, email, name, external_id AS "externalId", metadata, created_at AS "createdAt"'
_LITE_LICENSE = """
    json_object(
        'id', id, 'installationId', installation_id,
        'status', CASE WHEN revoked_at IS NOT NULL THEN 'REVOKED' WHEN expires_at <= :now THEN 'EXPIRED'
            ELSE 'ACTIVE' END,
        'expiresAt', expires_at, 'createdAt', created_at
    )
"""
_LITE_CUSTOMER = """
    '{"id":"' || id || '","email":' || json_quote(email) || ',"name":' || json_quote(name)
    || ',"externalId":' || json_quote(external_id) || ',"metadata":' || metadata
    || ',"createdAt":"' || created_at || '"'
"""
_OWNED = "EXISTS (SELECT 1 FROM apps WHERE apps.id = app_id AND account_id = :account)"


def _pg_licenses(size: int) -> str:
    """Return SQL for the field `licenses` of a customer: the newest `size` licenses."""
    return f"""
        (SELECT json_build_object('nodes', coalesce(json_agg(l), '[]'))
         FROM (SELECT {_PG_LICENSE} FROM licenses WHERE customer_id = customers.id
               ORDER BY id DESC LIMIT {size}) AS l) AS licenses
    """


def _lite_licenses(size: int) -> str:
    return f"""
        '{{"nodes":[' || coalesce((
            SELECT group_concat(node, ',')
            FROM (SELECT {_LITE_LICENSE} AS node FROM licenses WHERE customer_id = customers.id
                  ORDER BY id DESC LIMIT {size})
        ), '') || ']}}'
    """


# Pages with pageInfo. An index lookup shows whether there is another row after the page. Rows are in
# descending order of ids, so the first row has the greatest id.


def _pg_page_info(rows: str, size: int, has_previous: bool) -> str:
    return f"""
        json_build_object(
            'hasNextPage', EXISTS (SELECT 1 FROM {rows} ORDER BY id DESC OFFSET {size}),
            'hasPreviousPage', {str(has_previous).lower()}, 'startCursor', max(id), 'endCursor', min(id)
        )
    """


def _lite_page_info(rows: str, size: int, has_previous: bool) -> str:
    return f"""
        '{{"hasNextPage":' || iif(EXISTS (SELECT 1 FROM {rows} ORDER BY id DESC LIMIT 1 OFFSET {size}),
            'true', 'false')
        || ',"hasPreviousPage":{str(has_previous).lower()},"startCursor":' || json_quote(max(id))
        || ',"endCursor":' || json_quote(min(id)) || '}}'
    """


_OF_CUSTOMER = "licenses WHERE customer_id = customers.id"
_PG_LICENSE_PAGE = f"""
    (SELECT json_build_object(
        'totalCount', (SELECT count(*) FROM {_OF_CUSTOMER}),
        'nodes', coalesce(json_agg(node), '[]'),
        'pageInfo', {_pg_page_info(_OF_CUSTOMER, 10, False)})
     FROM (SELECT id, (SELECT row_to_json(l) FROM (SELECT {_PG_LICENSE}) AS l) AS node
           FROM {_OF_CUSTOMER} ORDER BY id DESC LIMIT 10) AS found) AS licenses
"""
_LITE_LICENSE_PAGE = f"""
    (SELECT '{{"totalCount":' || (SELECT count(*) FROM {_OF_CUSTOMER})
        || ',"nodes":[' || coalesce(group_concat(node, ','), '')
        || '],"pageInfo":' || {_lite_page_info(_OF_CUSTOMER, 10, False)} || '}}'
     FROM (SELECT id, {_LITE_LICENSE} AS node FROM {_OF_CUSTOMER} ORDER BY id DESC LIMIT 10))
"""


def _pg_dashboard(total: str, after: str) -> str:
    rows = f"customers WHERE app_id = apps.id {after}"
    return f"""
        SELECT json_build_object('app', (SELECT row_to_json(a) FROM (
            SELECT id, slug, name, created_at AS "createdAt",
                (SELECT json_build_object(
                    {total}
                    'nodes', coalesce(json_agg(node), '[]'),
                    'pageInfo', {_pg_page_info(rows, 50, bool(after))})
                 FROM (SELECT id, (SELECT row_to_json(c)
                                   FROM (SELECT {_PG_CUSTOMER}, {_PG_LICENSE_PAGE}) AS c) AS node
                       FROM {rows} ORDER BY id DESC LIMIT 50) AS found) AS customers
            FROM apps WHERE slug = :slug AND account_id = :account) AS a))
    """


def _lite_dashboard(total: str, after: str) -> str:
    rows = f"customers WHERE app_id = apps.id {after}"
    return f"""
        SELECT '{{"app":' || coalesce((
            SELECT '{{"id":"' || id || '","slug":"' || slug || '","name":' || json_quote(name)
                || ',"createdAt":"' || created_at || '","customers":' ||
                (SELECT '{{' || {total} '"nodes":[' || coalesce(group_concat(node, ','), '')
                    || '],"pageInfo":' || {_lite_page_info(rows, 50, bool(after))} || '}}'
                 FROM (SELECT id, {_LITE_CUSTOMER} || ',"licenses":' || {_LITE_LICENSE_PAGE} || '}}' AS node
                       FROM {rows} ORDER BY id DESC LIMIT 50)) || '}}'
            FROM apps WHERE slug = :slug AND account_id = :account), 'null') || '}}'
    """


_TOTAL = "(SELECT count(*) FROM customers WHERE app_id = apps.id)"


# The workloads


_W1 = Workload(
    "W1",
    "one customer with 10 licenses",
    lambda data, _: [{"id": id} for id in data.customer_ids],
    document=f"""query W1($id: ID!) {{ customer(id: $id) {{
        {_CUSTOMER} licenses(first: 10) {{ nodes {{ {_LICENSE} }} }} }} }}""",
    postgraphile=f"""query W1($id: String!) {{ customer: customerByRowId(rowId: $id) {{
        {_ROW_CUSTOMER} {_ROW_LICENSES}(first: 10, {_NEWEST}) {{ nodes {{ {_ROW_LICENSE} }} }} }} }}""",
    statements={
        "postgresql": [
            f"""
            SELECT json_build_object('customer', (SELECT row_to_json(c) FROM (
                SELECT {_PG_CUSTOMER}, {_pg_licenses(10)} FROM customers WHERE id = :id AND {_OWNED}) AS c))
            """
        ],
        "sqlite": [
            f"""
            SELECT '{{"customer":' || coalesce((
                SELECT {_LITE_CUSTOMER} || ',"licenses":' || {_lite_licenses(10)} || '}}'
                FROM customers WHERE id = :id AND {_OWNED}), 'null') || '}}'
            """
        ],
    },
)


def _dashboard_document(name: str, variable: str, after: str, total: str) -> str:
    return f"""query {name}($slug: String!{variable}) {{ app(slug: $slug) {{
        id slug name createdAt
        customers(first: 50{after}) {{
          {total} nodes {{ {_CUSTOMER} licenses(first: 10) {{
            totalCount nodes {{ {_LICENSE} }} {_PAGE_INFO} }} }}
          {_PAGE_INFO}
        }} }} }}"""


def _dashboard_postgraphile(name: str, variable: str, after: str, total: str) -> str:
    return f"""query {name}($slug: String!{variable}) {{ {_ROW_APP} {{
        id: rowId slug name createdAt
        {_ROW_CUSTOMERS}(first: 50, {_NEWEST}{after}) {{
          {total} nodes {{ {_ROW_CUSTOMER} {_ROW_LICENSES}(first: 10, {_NEWEST}) {{
            totalCount nodes {{ {_ROW_LICENSE} }} {_PAGE_INFO} }} }}
          {_PAGE_INFO}
        }} }} }}"""


_W2 = Workload(
    "W2",
    "dashboard: 50 customers × 10 licenses",
    _slug,
    document=_dashboard_document("W2", "", "", "totalCount"),
    postgraphile=_dashboard_postgraphile("W2", "", "", "totalCount"),
    statements={
        "postgresql": [_pg_dashboard(f"'totalCount', {_TOTAL},", "")],
        "sqlite": [_lite_dashboard(f"""'"totalCount":' || {_TOTAL} || ',' ||""", "")],
    },
)

_W3 = Workload(
    "W3",
    "the same page after row 10,000",
    lambda _, after: [{"slug": SLUG, "after": after}],
    document=_dashboard_document("W3", ", $after: String", ", after: $after", ""),
    postgraphile=_dashboard_postgraphile("W3", ", $after: Cursor", ", after: $after", ""),
    statements={
        "postgresql": [_pg_dashboard("", "AND id < :after")],
        "sqlite": [_lite_dashboard("", "AND id < :after")],
    },
    is_after_cursor=True,
)

_W4 = Workload(
    "W4",
    "email contains 'jane', 20 rows and the total",
    _slug,
    document=f"""query W4($slug: String!) {{ app(slug: $slug) {{
        customers(first: 20, filter: {{email: "jane"}}) {{ totalCount nodes {{ {_CUSTOMER} }} }} }} }}""",
    postgraphile=f"""query W4($slug: String!) {{ {_ROW_APP} {{
        {_ROW_CUSTOMERS}(first: 20, {_NEWEST}, filter: {{emailFolded: {{includes: "jane"}}}}) {{
          totalCount nodes {{ {_ROW_CUSTOMER} }} }} }} }}""",
    statements={
        "postgresql": [
            f"""
            SELECT json_build_object('app', (
                SELECT json_build_object('customers', json_build_object(
                    'totalCount', (SELECT count(*) FROM customers
                                   WHERE app_id = apps.id AND email_folded LIKE '%jane%'),
                    'nodes', (SELECT coalesce(json_agg(c), '[]') FROM (
                        SELECT {_PG_CUSTOMER} FROM customers
                        WHERE app_id = apps.id AND email_folded LIKE '%jane%'
                        ORDER BY id DESC LIMIT 20) AS c)))
                FROM apps WHERE slug = :slug AND account_id = :account))
            """
        ],
        "sqlite": [
            f"""
            SELECT '{{"app":' || coalesce((
                SELECT '{{"customers":{{"totalCount":' || (SELECT count(*) FROM customers
                        WHERE app_id = apps.id AND email_folded LIKE '%jane%')
                    || ',"nodes":[' || coalesce((SELECT group_concat(node, ',') FROM (
                        SELECT {_LITE_CUSTOMER} || '}}' AS node FROM customers
                        WHERE app_id = apps.id AND email_folded LIKE '%jane%' ORDER BY id DESC LIMIT 20)), '')
                    || ']}}}}'
                FROM apps WHERE slug = :slug AND account_id = :account), 'null') || '}}'
            """
        ],
    },
)

_W5 = Workload(
    "W5",
    "10 apps × 10 customers × 5 licenses",
    lambda _data, _after: [{}],
    document=f"""query W5 {{ apps(first: 10) {{ nodes {{ id slug name createdAt
        customers(first: 10) {{ nodes {{ {_CUSTOMER}
          licenses(first: 5) {{ nodes {{ {_LICENSE} }} }} }} }} }} }} }}""",
    postgraphile=f"""query W5 {{ apps: allApps(first: 10, {_NEWEST}) {{ nodes {{ id: rowId slug name createdAt
        {_ROW_CUSTOMERS}(first: 10, {_NEWEST}) {{ nodes {{ {_ROW_CUSTOMER}
          {_ROW_LICENSES}(first: 5, {_NEWEST}) {{ nodes {{ {_ROW_LICENSE} }} }} }} }} }} }} }}""",
    statements={
        "postgresql": [
            f"""
            SELECT json_build_object('apps', json_build_object('nodes', (
                SELECT coalesce(json_agg(a), '[]') FROM (
                    SELECT id, slug, name, created_at AS "createdAt",
                        (SELECT json_build_object('nodes', coalesce(json_agg(c), '[]')) FROM (
                            SELECT {_PG_CUSTOMER}, {_pg_licenses(5)} FROM customers WHERE app_id = apps.id
                            ORDER BY id DESC LIMIT 10) AS c) AS customers
                    FROM apps WHERE account_id = :account ORDER BY id DESC LIMIT 10) AS a)))
            """
        ],
        "sqlite": [
            f"""
            SELECT '{{"apps":{{"nodes":[' || coalesce(group_concat(node, ','), '') || ']}}}}' FROM (
                SELECT '{{"id":"' || id || '","slug":"' || slug || '","name":' || json_quote(name)
                    || ',"createdAt":"' || created_at || '","customers":{{"nodes":[' || coalesce((
                        SELECT group_concat(node, ',') FROM (
                            SELECT {_LITE_CUSTOMER} || ',"licenses":' || {_lite_licenses(5)} || '}}' AS node
                            FROM customers WHERE app_id = apps.id ORDER BY id DESC LIMIT 10)), '')
                    || ']}}}}' AS node
                FROM apps WHERE account_id = :account ORDER BY id DESC LIMIT 10)
            """
        ],
    },
)


def _existing_and_new(data: DataSet, _after: str) -> Sequence[Variables]:
    emails = (email for existing in data.emails for email in (existing, f"new.{UNIQUE}@fjord.example"))
    return [{"slug": SLUG, "email": email} for email in emails]


def _customer_made(answer: Any) -> Any:
    """Return the part of a result that is compared between contestants.

    For a new customer, only the fact that it was created is compared.
    """
    made = answer["getOrCreateCustomer"]
    made = made.get("result", made)
    return made | {"customer": None} if made["created"] else made


_W6 = Workload(
    "W6",
    "get-or-create customer, half of them new",
    _existing_and_new,
    document="""mutation W6($slug: String!, $email: String!) {
        getOrCreateCustomer(input: {appSlug: $slug, email: $email}) {
          created customer { id email name createdAt } } }""",
    postgraphile="""mutation W6($slug: String!, $email: String!) {
        getOrCreateCustomer(input: {appSlug: $slug, email: $email}) {
          result { created customer { id: rowId email name createdAt } } } }""",
    statements={
        "postgresql": [
            """
            WITH made AS (
                INSERT INTO customers (id, app_id, email, email_folded, metadata, created_at, updated_at)
                SELECT :new_id, id, :email, lower(:email), '{}', :now, :now
                FROM apps WHERE slug = :slug AND account_id = :account
                ON CONFLICT (app_id, email_folded) DO NOTHING
                RETURNING id, email, name, created_at AS "createdAt")
            SELECT json_build_object('getOrCreateCustomer', json_build_object(
                'created', true, 'customer', row_to_json(made))) FROM made
            """,
            """
            SELECT json_build_object('getOrCreateCustomer', json_build_object(
                'created', false, 'customer', json_build_object(
                    'id', c.id, 'email', email, 'name', c.name, 'createdAt', c.created_at)))
            FROM customers AS c JOIN apps AS a ON a.id = app_id
            WHERE slug = :slug AND account_id = :account AND email_folded = lower(:email)
            """,
        ],
        "sqlite": [
            """
            SELECT json_object('getOrCreateCustomer', json_object(
                'created', json('false'), 'customer', json_object(
                    'id', c.id, 'email', email, 'name', c.name, 'createdAt', c.created_at)))
            FROM customers AS c JOIN apps AS a ON a.id = app_id
            WHERE slug = :slug AND account_id = :account AND email_folded = lower(:email)
            """,
            """
            INSERT INTO customers (id, app_id, email, email_folded, metadata, created_at, updated_at)
            SELECT :new_id, id, :email, lower(:email), '{}', :now, :now
            FROM apps WHERE slug = :slug AND account_id = :account
            ON CONFLICT (app_id, email_folded) DO NOTHING
            RETURNING json_object('getOrCreateCustomer', json_object(
                'created', json('true'), 'customer', json_object(
                    'id', id, 'email', email, 'name', name, 'createdAt', created_at)))
            """,
        ],
    },
    held=_customer_made,
)

_PG_RESOURCE = "id, email, name, external_id, metadata, created_at"
_W7 = Workload(
    "W7",
    "REST list of 20 and the total",
    _slug,
    document=None,
    postgraphile=None,
    path=f"/api/v1/apps/{SLUG}/customers?page=1&per_page=20",
    statements={
        "postgresql": [
            f"""
            SELECT json_build_object(
                'data', (SELECT coalesce(json_agg(c), '[]') FROM (
                    SELECT {_PG_RESOURCE} FROM customers WHERE app_id = apps.id
                    ORDER BY customers.id DESC LIMIT 20) AS c),
                'meta', json_build_object('total', {_TOTAL}, 'page', 1, 'per_page', 20))
            FROM apps WHERE slug = :slug AND account_id = :account
            """
        ],
        "sqlite": [
            f"""
            SELECT '{{"data":[' || coalesce((SELECT group_concat(node, ',') FROM (
                    SELECT '{{"id":"' || id || '","email":' || json_quote(email)
                        || ',"name":' || json_quote(name) || ',"external_id":' || json_quote(external_id)
                        || ',"metadata":' || metadata || ',"created_at":"' || created_at || '"}}' AS node
                    FROM customers WHERE app_id = apps.id ORDER BY id DESC LIMIT 20)), '')
                || '],"meta":{{"total":' || {_TOTAL} || ',"page":1,"per_page":20}}}}'
            FROM apps WHERE slug = :slug AND account_id = :account
            """
        ],
    },
)

# W6, the workload that writes, is last, because the other workloads need the data as it was loaded.
WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload for workload in (_W1, _W2, _W3, _W4, _W5, _W7, _W6)
}
"""All workloads by name, in the order in which they are measured."""

PAGES = """query Pages($slug: String!, $first: Int!, $after: String) {
    app(slug: $slug) { customers(first: $first, after: $after) { pageInfo { endCursor } } } }"""
"""The document for paging to the cursor of a page."""
POSTGRAPHILE_PAGES = f"""query Pages($slug: String!, $first: Int!, $after: Cursor) {{
    {_ROW_APP} {{ {_ROW_CUSTOMERS}(first: $first, {_NEWEST}, after: $after) {{
      pageInfo {{ endCursor }} }} }} }}"""
