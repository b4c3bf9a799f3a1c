"""Installation ids may be written in several ways, and are always stored and returned in the usual form."""

import pytest

from db.engine import Database
from db.licenses import licenses
from tests.apis.both import CREATE_LICENSE, BothApis, Values
from tests.factories import App, Customer, make_customer, make_license, make_tier
from tests.rest.expecting import error, stored

INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
DIGITS = INSTALLATION.replace("-", "")
FORMS = [
    INSTALLATION,
    INSTALLATION.upper(),
    DIGITS,
    DIGITS.upper(),
    f"{{{INSTALLATION}}}",
    f"{{{INSTALLATION.upper()}}}",
    f"{{{DIGITS}}}",
    f"urn:uuid:{INSTALLATION}",
    f"URN:UUID:{INSTALLATION.upper()}",
]
ACTIVE = "already has an active license"
SHOWN: Values = {"valid": True, "status": "active", "tier": None}


@pytest.fixture
async def ada(database: Database, atlas: App) -> Customer:
    return await make_customer(database, atlas)


@pytest.mark.parametrize("form", FORMS)
async def test_rest_issues_a_license_for_an_installation(
    apis: BothApis, database: Database, atlas: App, ada: Customer, form: str
) -> None:
    tier = await make_tier(database, atlas)
    body = {"installation_id": form, "customer_id": ada.id, "tier_id": tier.id, "forever": True}

    made = await apis.rest("POST", "/apps/atlas/licenses", body)
    refused = await apis.rest("POST", "/apps/atlas/licenses", {**body, "installation_id": DIGITS})

    assert made.json()["data"]["installation_id"] == INSTALLATION
    assert error(refused) == (409, "conflict", {"installation_id": [ACTIVE]})
    assert [row["installation_id"] for row in await stored(database, licenses)] == [INSTALLATION]


@pytest.mark.parametrize("form", FORMS)
async def test_the_graph_issues_a_license_for_an_installation(
    apis: BothApis, database: Database, ada: Customer, form: str
) -> None:
    input = {"customerId": ada.id, "forever": True}

    made = await apis.mutate(CREATE_LICENSE, installationId=form, **input)
    refused = await apis.mutate(CREATE_LICENSE, installationId=INSTALLATION, **input)

    assert made["license"]["installationId"] == INSTALLATION
    assert refused["userErrors"] == [{"code": "TAKEN", "message": ACTIVE, "field": ["installationId"]}]
    assert [row["installation_id"] for row in await stored(database, licenses)] == [INSTALLATION]


@pytest.mark.parametrize("form", FORMS)
async def test_a_license_is_found_and_verified_by_its_installation(
    apis: BothApis, database: Database, ada: Customer, form: str
) -> None:
    license = await make_license(database, ada, installation_id=INSTALLATION)
    await make_license(database, ada)
    path = "/apps/atlas/licenses"

    found = await apis.rest_data(f"{path}/by-installation", installation_id=form)
    verified = await apis.rest_data(f"{path}/verify", installation_id=form)
    batch = await apis.rest("POST", f"{path}/verify/batch", {"installation_ids": [form]})
    by_graph = await apis.graph(
        """query($form: UUID!) {
          app(slug: "atlas") { license(by: {installationId: $form}) { id } }
          one: verifyLicense(appSlug: "atlas", by: {installationId: $form}) { valid installationId }
          all: verifyLicenses(appSlug: "atlas", by: {installationIds: [$form]}) { installationId }
        }""",
        form=form,
    )

    assert (found["id"], found["installation_id"]) == (license.id, INSTALLATION)
    assert (verified["valid"], verified["installation_id"]) == (True, INSTALLATION)
    assert batch.json()["data"]["results"] == {form: SHOWN}
    assert by_graph == {
        "app": {"license": {"id": license.id}},
        "one": {"valid": True, "installationId": INSTALLATION},
        "all": [{"installationId": INSTALLATION}],
    }


async def test_results_of_a_batch_have_the_values_that_were_sent(
    apis: BothApis, database: Database, ada: Customer
) -> None:
    await make_license(database, ada, installation_id=INSTALLATION)
    unknown = "{00000000000040008000000000000000}"

    batch = await apis.rest(
        "POST", "/apps/atlas/licenses/verify/batch", {"installation_ids": [*FORMS, unknown, DIGITS]}
    )

    assert batch.json()["data"]["results"] == {
        **dict.fromkeys(FORMS, SHOWN),
        unknown: {"valid": False, "status": "not_found", "tier": None},
    }
    assert list(batch.json()["data"]["results"]) == [*FORMS, unknown]
