"""Every page keeps the rules of WCAG 2.2, levels A and AA, that axe can check, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import served, watched
from flask import Flask
from playwright.sync_api import Browser, Page
from web_client import cracked, encoded, send_to_api, tiny_app

from flawsight.records import Accounts

AXE = Path(__file__).with_name("axe") / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NAME, PASSWORD = "anna", "correct horse battery"
TOLD = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  return found.violations.flatMap((broken) => broken.nodes.map((node) => `${broken.id}: ${node.html}`));
}"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return tiny_app(tmp_path_factory.mktemp("accessible"))


@pytest.fixture(scope="module")
def inspected(app: Flask) -> str:
    """The id of an inspection that found a defect; then a user is made, so that people sign in."""
    client = app.test_client()
    inspection = send_to_api(client, encoded(cracked()), "tile.png").get_json()["id"]
    Accounts(app.extensions["flawsight"].store).add(NAME, "admin", PASSWORD)
    return str(inspection)


@pytest.fixture(scope="module")
def site(app: Flask, inspected: str) -> Iterator[str]:
    yield from served(app)


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    # Without motion: a colour on its way to another is neither.
    size = {"width": 1440, "height": 900}
    yield from watched(browser, site, viewport=size, color_scheme="light", reduced_motion="reduce")


def broken(page: Page, rules: list[str]) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))  # not as a script of the page: its policy forbids that
    return [f"{page.url} {told}" for told in page.evaluate(TOLD, rules)]


def broken_in_both_themes(page: Page, address: str) -> list[str]:
    page.emulate_media(color_scheme="light")
    page.goto(address)
    found = broken(page, RULES)
    page.emulate_media(color_scheme="dark")
    return found + [f"dark {told}" for told in page.evaluate(TOLD, ["color-contrast"])]


def plain_pages(app: Flask, page: Page) -> list[str]:
    """The address of every page that needs nothing in its address, also of those that will be added."""
    rules = (
        rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments
    )
    answers = ((rule.rule, page.request.get(rule.rule)) for rule in rules)
    return [
        address for address, said in answers if said.headers.get("content-type", "").startswith("text/html")
    ]


def test_no_page_breaks_a_rule_in_light_or_dark(app: Flask, page: Page, inspected: str) -> None:
    found = broken_in_both_themes(page, "/sign-in")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    one = [f"/inspections/{inspected}", f"/review/{inspected}", "/users/1", "/nowhere", "/history?lot=none"]
    addresses = [*plain_pages(app, page), *one]
    assert {"/", "/history", "/review", "/users", "/account", "/bench/camera"} <= set(addresses)
    for address in addresses:
        found += broken_in_both_themes(page, address)
    assert not found, "\n".join(found)


def test_a_list_of_results_keeps_the_rules(page: Page, tmp_path: Path) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in files:
        file.write_bytes(encoded(cracked()))
    page.set_input_files("#file", [str(file) for file in files])
    page.get_by_role("button", name="Inspect 2 photos").click()
    page.locator("#batch-said", has_text="Finished").wait_for()
    assert broken(page, RULES) == []
