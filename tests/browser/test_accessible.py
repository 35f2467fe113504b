"""Every page keeps the rules of WCAG 2.2, levels A and AA, that axe can check, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import served, watched
from flask import Flask
from model_files import furnish, write_study
from playwright.sync_api import Browser, Page, expect
from web_client import cracked, encoded, post_file, surface, tiny_app

from flawsight.records import Accounts
from flawsight.records.lot import Disposal, Terms
from flawsight.records.lots import Lots

AXE = Path(__file__).with_name("axe") / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NAME, PASSWORD = "anna", "correct horse battery"
TOLD = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  return found.violations.flatMap((broken) => broken.nodes.map((node) => `${broken.id}: ${node.html}`));
}"""


LIMITS = {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """With models, a comparison of networks, and whatever a page with an id in its address can show."""
    folder = tmp_path_factory.mktemp("accessible")
    furnish(folder)
    write_study(folder)
    return tiny_app(folder)


@pytest.fixture(scope="module")
def inspected(app: Flask) -> str:
    """The id of an inspection that found a defect; then a user is made, so that people sign in."""
    client, it = app.test_client(), app.extensions["flawsight"]
    lots = Lots(it.store)
    for number in ("open", "closed", "left"):  # ids 1, 2, 3
        lots.open(Terms(number, 90, "I", LIMITS, "P-7", "C", "Acme"), "Olga")
    for lot, pixels in (
        ("closed", surface()),
        ("open", surface()),
        ("closed", cracked()),
        ("open", cracked()),
    ):
        inspection = post_file(client, "/api/v1/inspections", encoded(pixels), "tile.png", lot=lot).get_json()
    lots.close(2, "reject", "Ines Kern", "A crack.")
    lots.dispose(2, Disposal("sort", "All of them."), "Ines Kern")
    lots.close(3, "withdraw", "Ines Kern", "Wrong drawing.")
    answer = {"reviewer": "A. Kern", "verdict": "reject", "class": "MT_Crack", "disposition": "scrap"}
    assert client.post(f"/api/v1/inspections/{inspection['id']}/reviews", json=answer).status_code == 201
    it.golden.add(encoded(surface()), "smooth tile", "accept", "MT_Free", "admin")
    it.golden.add(encoded(cracked()), "cracked tile", "reject", "", "admin")
    photo = post_file(client, "/api/v1/trust/golden/parts/1/photos", encoded(surface() - 12), "today.png")
    assert photo.status_code == 201
    it.golden.remove(it.golden.add(b"any", "worn", "accept", "", "admin").id, "admin", "Worn out.")
    it.fleet.templates.keep(encoded(surface()), "good.png", "P-7", "C", "admin")
    moved = {"do": "thresholds", "why": "too strict", "accept_below": 0.2, "reject_from": 0.7}
    assert client.post("/api/v1/models/lenient/changes", json=moved).status_code == 200
    Accounts(it.store).add(NAME, "admin", PASSWORD)
    return str(inspection["id"])


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
    # Some answers are parts of a page.
    return [
        address
        for address, said in answers
        if said.headers.get("content-type", "").startswith("text/html") and "<!doctype html>" in said.text()
    ]


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    sign_in_here(page)
    page.wait_for_url("**/")


def sign_in_here(page: Page, name: str = NAME) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def sign_in_again(page: Page, name: str = NAME) -> None:
    """From the page that says that the session has ended."""
    page.get_by_role("link", name="Sign in").click()
    sign_in_here(page, name)


def test_no_page_breaks_a_rule_in_light_or_dark(app: Flask, page: Page, inspected: str) -> None:
    found = broken_in_both_themes(page, "/sign-in")
    sign_in(page)
    one = [f"/inspections/{inspected}", f"/review/{inspected}", "/users/1", "/nowhere", "/history?lot=none"]
    addresses = [*plain_pages(app, page), *one]
    assert {"/", "/history", "/review", "/users", "/account", "/bench/camera", "/api/v1/docs"} <= set(
        addresses
    )
    for address in addresses:
        found += broken_in_both_themes(page, address)
    assert not found, "\n".join(found)


# What stands at each address, and a word that is only there when the page shows what it is for.
PAGES = {
    "a result of a lot, out of a filtered history": ("/inspections/{id}?verdict=reject", "Back to the list"),
    "an open lot": ("/lots/1", "Close the lot"),
    "a rejected lot": ("/lots/2", "Sort all parts"),
    "the nonconforming parts of a lot": ("/lots/2?show=nonconforming", "Crack"),
    "a model in use": ("/models/model", "Thresholds and what they cost"),
    "a model with moved thresholds": ("/models/lenient", "too strict"),
    "templates": ("/templates", "good.png"),
    "golden parts": ("/trust/golden", "cracked tile"),
    "all models on one photo": ("/side-by-side?inspection={id}", "lenient"),
    "a comparison of networks": ("/comparisons/tiles", "Tiles: 2 backbones"),
    "what an error means": ("/problems/bad_lot", "lot"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_with_all_it_can_show_breaks_no_rule(page: Page, inspected: str, name: str) -> None:
    address, word = PAGES[name]
    sign_in(page)
    found = broken_in_both_themes(page, address.format(id=inspected))
    assert word in page.content()
    assert not found, "\n".join(found)


# Every page belongs to one entry of the navigation, or to none.
ENTRIES = {
    "Inspect": ["/", "/bench/camera"],
    "Review": ["/review", "/review?queue=all", "/review/{id}"],
    "History": ["/history", "/history?lot=none", "/history/retention", "/inspections/{id}"],
    "Lots": ["/lots", "/lots/new", "/lots/trend", "/lots/1"],
    "Trust": ["/trust", "/trust/golden", "/trust/agreement", "/trust/drift"],
    "Models": [
        "/models",
        "/models/model",
        "/shadow",
        "/side-by-side",
        "/comparisons",
        "/comparisons/tiles",
        "/templates",
    ],
    "Users": ["/users", "/users/1"],
    "Your account: anna admin": ["/account"],
    "": ["/api/v1/docs", "/problems/bad_lot", "/nowhere", "/lots/99"],
}
LOOKS = """link => {
  const { textDecorationLine, textDecorationThickness, fontWeight } = getComputedStyle(link);
  return [textDecorationLine, textDecorationThickness, fontWeight];
}"""


def test_the_navigation_says_where_one_is_and_not_by_colour_alone(page: Page, inspected: str) -> None:
    sign_in(page)
    for entry, addresses in ENTRIES.items():
        for address in addresses:
            page.goto(address.format(id=inspected))
            links = page.locator("header.site nav a")
            current = page.locator("header.site nav [aria-current=page]")
            names = [" ".join(name.split()) for name in current.all_text_contents()]
            assert names == ([entry] if entry else []), address
        if entry:
            other = links.filter(has_text="Known defects")
            assert current.evaluate(LOOKS) == ["underline", "2px", "600"] != other.evaluate(LOOKS)


@pytest.mark.parametrize("lot", ["left", "never opened"])
def test_the_bench_keeps_the_rules_while_its_lot_is_closed_or_gone(page: Page, lot: str) -> None:
    sign_in(page)
    page.locator("#context summary").click()
    page.get_by_label("Lot", exact=True).fill(lot)
    page.get_by_label("Lot", exact=True).blur()
    page.get_by_role("button", name="Leave the lot out").wait_for()
    found = broken(page, RULES)
    for address in ("/", "/bench/camera"):
        found += broken_in_both_themes(page, address)
        assert page.get_by_role("button", name="Leave the lot out").is_visible()
    assert not found, "\n".join(found)


def test_a_list_of_results_keeps_the_rules(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in files:
        file.write_bytes(encoded(cracked()))
    page.set_input_files("#file[multiple]", [str(file) for file in files])
    page.get_by_role("button", name="Inspect 2 photos").click()
    page.locator("#batch-said", has_text="Finished").wait_for()
    assert broken(page, RULES) == []


def test_whoever_was_signed_out_meanwhile_is_led_to_sign_in_and_back_to_what_was_typed(page: Page) -> None:
    sign_in(page)
    page.goto("/lots/new")
    page.get_by_label("Lot number").fill("late")
    page.get_by_label("Lot size").fill("90")
    page.context.clear_cookies()
    page.get_by_role("button", name="Open the lot").click()
    page.get_by_role("heading", name="Sign in first").wait_for()
    expect(page.locator("main")).to_contain_text(
        "Nothing was filed or saved. What you typed is kept in this tab"
    )
    assert broken(page, RULES) == []
    sign_in_again(page)
    page.wait_for_url("**/lots/new")
    expect(page.get_by_label("Lot number")).to_have_value("late")
    page.get_by_role("button", name="Open the lot").click()
    page.get_by_role("heading", name="Lot late").wait_for()
    page.goto("/lots/new")
    expect(page.get_by_label("Lot number")).to_have_value("")


@pytest.mark.parametrize("who", [NAME, "ines"])
def test_an_answer_that_was_refused_waits_for_the_person_who_gave_it(
    page: Page, app: Flask, inspected: str, who: str
) -> None:
    accounts = Accounts(app.extensions["flawsight"].store)
    if who != NAME:
        accounts.add(who, "inspector", PASSWORD)
    sign_in(page)
    page.goto(f"/review/{inspected}")
    before = page.locator("#canvas .box").count()
    page.get_by_role("button", name="Add a box").click()
    page.get_by_label("Rationale").fill("Torn")
    page.context.clear_cookies()
    page.get_by_role("button", name="File", exact=True).click()
    sign_in_again(page, who)
    page.wait_for_url("**/review/*")
    mine = who == NAME
    expect(page.locator("#canvas .box")).to_have_count(before + mine)
    expect(page.get_by_label("Rationale")).to_have_value("Torn" if mine else "")


def test_a_refused_answer_waits_also_for_whoever_reads_the_refusal_in_another_language(
    page: Page, inspected: str
) -> None:
    sign_in(page)
    page.goto(f"/review/{inspected}")
    page.get_by_label("Rationale").fill("Torn")
    page.context.clear_cookies()
    page.get_by_role("button", name="File", exact=True).click()
    page.get_by_role("heading", name="Sign in first").wait_for()
    page.get_by_role("button", name="Deutsch").click()
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Passwort").fill(PASSWORD)
    page.get_by_role("button", name="Anmelden").click()
    page.wait_for_url("**/review/*")
    expect(page.locator("#rationale")).to_have_value("Torn")


def test_nothing_typed_or_drawn_stays_in_a_tab_after_signing_out(page: Page, inspected: str) -> None:
    sign_in(page)
    page.goto(f"/review/{inspected}")
    page.get_by_role("button", name="Add a box").click()
    assert page.evaluate("sessionStorage.length") > 0
    page.on("dialog", lambda dialog: dialog.accept())  # whether to leave what is not filed
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("count", [1, 2])
def test_photos_that_were_refused_stay_chosen_while_one_signs_in_elsewhere(
    page: Page, tmp_path: Path, count: int
) -> None:
    sign_in(page)
    files = [tmp_path / f"{number}.png" for number in range(count)]
    for file in files:
        file.write_bytes(encoded(cracked()))
    page.set_input_files("#file[multiple]", [str(file) for file in files])
    page.context.clear_cookies()
    page.locator("#upload button[type=submit]").click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Sign in in another tab").first.click()
    assert broken(page, RULES) == []
    sign_in_here(opened.value)
    opened.value.wait_for_url("**/")
    opened.value.close()
    if count == 1:
        page.locator("#upload button[type=submit]").click()
        page.wait_for_url("**/inspections/*")
    else:
        page.get_by_role("button", name="Try 2 failed photos again").click()
        expect(page.locator("#batch-said")).to_contain_text("Finished, 2 of 2: 2 reject")
