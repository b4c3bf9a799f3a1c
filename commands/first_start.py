"""The initial data of a new installation: an account, a key, and a small example app."""

from collections.abc import Mapping
from datetime import timedelta

from db import clock
from db.engine import Database, WriteSession
from db.tenancy import Tenant
from resolvers.accounts import first_account
from resolvers.apps import CreateApp, add_app
from resolvers.customers import CreateCustomer, add_customer
from resolvers.features import create_feature
from resolvers.inputs import check
from resolvers.keyring import Keyring
from resolvers.keys import add_key
from resolvers.licenses import create_license, revoke_license
from resolvers.tiers import create_tier
from resolvers.viewer import ALL_SCOPES, KeyKind, Policy, Viewer

APP_SLUG = "my-app"

_WELCOME = """\
This is a new installation. Its secret key is shown only once:

    {key}

Use it to sign in to the dashboard, or to explore the graph in GraphiQL:

    {url}/
    {url}/graphql

Query an app, its customers and their licenses:

    curl {url}/graphql \\
      -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"query": "{query}"}}'

Or call the REST API:

    curl '{url}/api/v1/apps/{slug}/customers?per_page=5' \\
      -H 'Authorization: Bearer {key}'
"""
_QUERY = (
    '{{ app(slug: \\"{slug}\\") {{ name customers(first: 10) {{ totalCount nodes {{ email name '
    "licenses(first: 5) {{ nodes {{ id status expiresAt }} }} }} }} }} }}"
)
_FEATURES = (("export", "Export"), ("sso", "Single sign-on"), ("beta_api", "Beta API"))
_TIERS = (("solo", "Solo", ["export"]), ("team", "Team", ["export", "sso"]))
_CUSTOMERS = (
    ("lena@orbit.example", "Lena Ortiz", "crm-8841", {"company": "Orbit", "plan": "annual"}),
    ("sam.okafor@brightfield.example", "Sam Okafor", "crm-8842", {"company": "Brightfield", "plan": "team"}),
    ("mei.tanaka@harbor.example", "Mei Tanaka", "crm-8857", {"company": "Harbor Labs", "plan": "monthly"}),
    ("jonas@fjord.example", "Jonas Lindqvist", None, {"plan": "lifetime"}),
    ("office@papermill.example", None, "crm-8901", {"company": "Papermill", "plan": "annual"}),
)
_DAYS_BY_PLAN = {"monthly": 30, "annual": 365, "team": 365}


async def begin(database: Database, keyring: Keyring) -> str | None:
    """Create the first account and return its new secret key. Return None if there is an account already.

    If several servers start at the same time, exactly one gets a key. This also creates the example app.
    """
    async with database.write() as session:
        account_id = await first_account(session)
        if account_id is None:
            return None
        viewer = Viewer(Tenant(account_id), ALL_SCOPES, Policy())
        key = await add_key(session, viewer.actor, viewer.policy, account_id, KeyKind.SECRET, "first key")
        await _make_app(viewer, session, keyring)
    return key.token


def welcome(url: str, key: str) -> str:
    """Return the message that a new installation prints: the key, and how to try it."""
    return _WELCOME.format(url=url, key=key, slug=APP_SLUG, query=_QUERY.format(slug=APP_SLUG))


async def _make_app(viewer: Viewer, session: WriteSession, keyring: Keyring) -> None:
    description = "An example app to explore. Delete it whenever you like."
    app = {"name": "My App", "slug": APP_SLUG, "description": description}
    given = check(CreateApp, app, {"http_webhooks": False})
    key = await keyring.make(given.signing_algorithm)
    await add_app(viewer, session, given, key)
    for feature, name in _FEATURES:
        await create_feature(viewer, session, APP_SLUG, {"slug": feature, "name": name})
    tier_ids = {
        slug: await create_tier(viewer, session, APP_SLUG, {"slug": slug, "name": name, "features": features})
        for slug, name, features in _TIERS
    }
    for email, full_name, external_id, metadata in _CUSTOMERS:
        values = {"email": email, "name": full_name, "external_id": external_id, "metadata": metadata}
        customer_id = await add_customer(viewer, session, APP_SLUG, check(CreateCustomer, values))
        plan = metadata["plan"]
        tier_id = tier_ids["team" if plan == "team" else "solo"]
        await _issue(viewer, session, keyring, {"customer_id": customer_id, "tier_id": tier_id}, plan)


async def _issue(
    viewer: Viewer, session: WriteSession, keyring: Keyring, given: Mapping[str, object], plan: str
) -> None:
    days = _DAYS_BY_PLAN.get(plan)
    term = {"forever": True} if days is None else {"duration_days": days}
    await create_license(viewer, session, keyring, {**given, **term})
    if plan == "team":
        second = await create_license(viewer, session, keyring, {**given, **term})
        await revoke_license(viewer, session, second, {"reason": "The laptop was returned"})
        soon = clock.as_text(clock.now() + timedelta(days=14))
        trial = {"features": ["beta_api"], "expires_at": soon, "metadata": {"trial": True}}
        await create_license(viewer, session, keyring, {**given, **trial})
