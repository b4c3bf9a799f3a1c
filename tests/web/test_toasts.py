"""Toasts say what was done, offer to undo it, and do not cover any button."""

import pytest
from playwright.sync_api import Page, expect

from tests.web.chromium import DESKTOP, PHONE
from tests.web.conftest import one_database
from tests.web.site import Site

pytestmark = [one_database, pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=str)]

COVERED = """async () => {
  // A toast slides into its place.
  await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  const header = document.querySelector("header");
  const bar = header.getBoundingClientRect();
  const toasts = [...document.querySelectorAll("[aria-live=polite][role=status] > *")]
    .filter((toast) => toast.checkVisibility());
  const boxes = toasts.map((toast) => toast.getBoundingClientRect());
  return {
    toasts: toasts.length,
    covered: [...document.querySelectorAll("button, a, input, select, textarea")]
      .filter((control) => control.checkVisibility() && !toasts.some((toast) => toast.contains(control)))
      .filter((control) => {
        const {left, right, top, bottom} = control.getBoundingClientRect();
        const visibleTop = header.contains(control) ? top : Math.max(top, bar.bottom);
        return boxes.some((box) => left < box.right && box.left < right
          && visibleTop < box.bottom && box.top < bottom);
      }).map((control) => control.textContent || control.ariaLabel),
  };
}"""


def test_a_toast_covers_nothing(page: Page, site: Site) -> None:
    jane = site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    for _ in range(20):
        site.make_license(jane)
    page.goto(f"/apps/atlas/customers/{jane.id}")
    rows = page.get_by_role("listitem", name="license for")
    for number in range(3):
        rows.nth(number).get_by_role("button", name="Revoke").click()
        expect(page.get_by_role("button", name="Undo")).to_have_count(1)
        assert page.evaluate(COVERED) == {"toasts": 1, "covered": []}

    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    assert page.evaluate(COVERED) == {"toasts": 1, "covered": []}
    rows.last.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Undo")).to_be_in_viewport()


def test_actions_are_undone_from_the_last_to_the_first(page: Page, site: Site) -> None:
    jane = site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    licenses = [site.make_license(jane) for _ in range(2)]
    page.goto(f"/apps/atlas/customers/{jane.id}")
    for license in licenses:
        page.get_by_role("listitem", name=license.installation_id).get_by_role(
            "button", name="Revoke"
        ).click()
        expect(
            page.get_by_role("listitem", name=f"Revoked license for {license.installation_id}")
        ).to_be_visible()

    for license in reversed(licenses):
        page.get_by_role("button", name="Undo").click()
        expect(
            page.get_by_role("listitem", name=f"Active license for {license.installation_id}")
        ).to_be_visible()
        page.get_by_role("button", name="Dismiss").click()

    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_a_toast_with_a_long_text_stays_in_the_bar(page: Page, site: Site) -> None:
    customer = site.make_customer(site.make_app("atlas", name="Atlas"), email=f"{'w' * 240}@example.com")
    page.goto(f"/apps/atlas/customers/{customer.id}")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_label("Type the customer's email to confirm").fill(customer.email)
    page.get_by_role("button", name="Delete customer").click()

    expect(page.get_by_role("button", name="Dismiss")).to_be_visible()

    assert page.evaluate(COVERED) == {"toasts": 1, "covered": []}
    bar = page.get_by_role("banner").bounding_box()
    toast = page.get_by_role("banner").get_by_role("status").locator("> *").bounding_box()
    assert bar
    assert toast
    assert bar["y"] <= toast["y"]
    assert toast["y"] + toast["height"] <= bar["y"] + bar["height"]
