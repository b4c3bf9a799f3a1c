"""A site has an account with its keys, and no other data except what its test creates."""

import httpx
import pytest

from tests.web.site import Site


def test_a_site_is_filled_for_one_test(site: Site) -> None:
    app = site.make_app("atlas", name="Atlas Editor")
    tier = site.make_tier(app, slug="team", features=[site.make_feature(app, slug="export")])
    customer = site.make_customer(app, email="jane@example.com")
    site.make_license(customer, tier=tier)
    site.make_customers(app, 2_000, licenses_each=1)

    apps = site.graph("{ apps { nodes { slug customers { totalCount } licenses { totalCount } } } }")

    assert apps == {
        "apps": {
            "nodes": [
                {"slug": "atlas", "customers": {"totalCount": 2_001}, "licenses": {"totalCount": 2_001}}
            ]
        }
    }


def test_a_site_is_empty_for_the_next_test(site: Site) -> None:
    assert site.graph("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}
    assert site.make_app("atlas").slug == "atlas"


def test_a_revoked_key_no_longer_works(site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.public_key}"}
    assert httpx.get(f"{site.url}/api/v1/apps", headers=headers).status_code == 200

    site.revoke(site.public_key)

    assert httpx.get(f"{site.url}/api/v1/apps", headers=headers).status_code == 401
    assert site.graph("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}


def test_a_server_stops_and_starts_at_the_same_address(site: Site) -> None:
    site.make_app("atlas")
    url = site.url

    site.stop()
    with pytest.raises(httpx.ConnectError):
        site.graph("{ apps { totalCount } }")
    site.start()

    assert site.url == url
    assert site.graph("{ apps { totalCount } }") == {"apps": {"totalCount": 1}}
