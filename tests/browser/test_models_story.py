"""Models in a real browser: the sliders, switching, the bench, the shadow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import served
from model_files import furnish, write_study
from playwright.sync_api import Page, Route, expect
from web_client import settings_in

from flawsight.web import create_app


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two models, of which the shipped one has results."""
    folder = tmp_path_factory.mktemp("models")
    furnish(folder)
    write_study(folder)
    app = create_app(settings_in(folder))
    yield from served(app)
    app.extensions["flawsight"].fleet.close()


def test_the_sliders_move_the_figures_and_the_thresholds_are_applied(page: Page) -> None:
    page.goto("/models")
    page.get_by_role("link", name="tiny 1").click()
    point = page.locator("#point")
    expect(point).to_contain_text("1 of 20 defective parts accepted")
    page.get_by_label("Accept below").focus()
    page.keyboard.press("Home")  # nothing is accepted
    expect(point).to_contain_text("0 of 20 defective parts accepted")
    expect(page.locator("#apply-accept")).to_have_text("0.0 %")
    page.locator("#apply-why").fill("No escapes on line 3")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("status").first).to_contain_text("Later inspections use these thresholds")
    expect(page.locator("#thresholds")).to_contain_text("No escapes on line 3")
    page.locator("#apply-why").fill("Back again")
    page.get_by_role("button", name="Back to the model's own").click()
    expect(page.locator("#thresholds")).to_contain_text("In force: the model's own")


def test_without_scripts_a_form_computes_the_same(scriptless: Page) -> None:
    scriptless.goto("/models/model?accept=0.05&reject=0.9")
    scriptless.get_by_role("button", name="Compute").click()
    expect(scriptless.locator("#point")).to_contain_text("0 of 20 defective parts accepted")
    expect(scriptless.get_by_label("Accept below")).to_have_value("0.05")


@pytest.mark.parametrize("fixture", ["page", "scriptless"])
def test_moved_sliders_go_back_to_what_is_in_force(fixture: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(fixture)
    page.goto("/models/model")
    accept, shown = page.get_by_label("Accept below"), page.locator("output[for=accept]")
    in_force = accept.input_value(), shown.inner_text()
    for _ in range(2):  # also where one has come back once already
        accept.focus()
        page.keyboard.press("End")
        expect(accept).to_have_value("1")
        page.get_by_role("link", name="As in force").click()
        expect(accept).to_have_value(in_force[0])
        expect(shown).to_have_text(in_force[1])
        expect(page.locator("#apply-accept")).to_have_text(in_force[1])
        expect(page.locator("#apply input[name=accept]")).to_have_value(in_force[0])


def test_sliders_write_numbers_as_the_page_does(page: Page) -> None:
    page.goto("/models/model")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator("#accept").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("output[for=accept]")).to_have_text("0,1 %")
    assert page.locator("#accept").get_attribute("aria-valuetext") == "0,1\u00a0%"


@pytest.mark.parametrize("script", ["models.js", "typed.js"])
def test_a_slider_that_is_moved_before_the_scripts_are_there_stays_moved(page: Page, script: str) -> None:
    page.goto("/models/model")
    late: list[Route] = []
    page.route(f"**/static/{script}*", lambda route: late.append(route))
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator("#accept").focus()
    page.keyboard.press("Home")
    while not late:
        page.wait_for_timeout(50)
    late.pop().continue_()
    expect(page.locator("#apply-accept")).to_have_text("0,0 %")
    expect(page.locator("#point")).to_contain_text("0 von 20")
    expect(page.locator("#accept")).to_have_value("0")


def test_a_slider_that_was_not_moved_means_the_threshold_in_force(page: Page) -> None:
    apply = {"do": "thresholds", "accept_below": 0.0567, "reject_from": 0.9342, "why": "a trial"}
    changed = page.request.post("/api/v1/models/model/changes", data=apply)
    assert changed.ok, changed.text()
    page.goto("/models/model")
    expect(page.locator("#reject")).to_have_value("0.934")
    with page.expect_request("**/models/model/point?*") as asked:
        page.locator("#accept").press("ArrowRight")
    assert "accept=0.058" in asked.value.url and "reject=0.9342" in asked.value.url
    expect(page.locator("#apply input[name=reject]")).to_have_value("0.9342")
    page.request.post("/api/v1/models/model/changes", data={"do": "reset", "why": "over"})


def test_the_bench_asks_for_the_product_and_the_shadow_lists_where_it_disagrees(page: Page) -> None:
    page.goto("/models/lenient")
    for button in ("Answer in the shadow", "Put beside the others"):
        page.locator("#why").fill("A trial")
        page.get_by_role("button", name=button).click()
    page.goto("/")
    page.get_by_label("Which product is on the bench?").select_option("tiny 1")
    page.get_by_role("button", name="Inspect sample: MT Crack 1").click()
    page.wait_for_url("**/inspections/*")
    expect(page.locator(".verdict-word")).to_have_text("REJECT")
    page.goto("/")
    expect(page.get_by_label("Which product is on the bench?")).to_have_value("model")
    page.get_by_label("Which product is on the bench?").select_option("lenient 1")
    page.get_by_role("button", name="Inspect sample: MT Crack 1").click()
    page.wait_for_url("**/inspections/*")
    expect(page.locator(".verdict-word")).to_have_text("ACCEPT")
    page.goto("/shadow")
    expect(page.locator(".differ")).to_contain_text("REJECT")


def test_on_a_phone_nothing_runs_off_the_page(phone: Page) -> None:
    for address in (
        "/models",
        "/models/model",
        "/shadow",
        "/side-by-side",
        "/comparisons",
        "/comparisons/tiles",
    ):
        phone.goto(address)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, address


def test_a_table_that_scrolls_on_a_phone_has_a_shadow_at_its_edge_until_its_end(phone: Page) -> None:
    phone.goto("/models/model")
    table = phone.get_by_role("region", name="Table of classes")
    assert table.evaluate("one => one.scrollWidth > one.clientWidth")
    cover, shadow = table.evaluate("one => getComputedStyle(one).backgroundAttachment").split(", ")
    assert (cover, shadow) == ("local", "scroll"), (
        "the cover goes with the end of the table, the shadow stays"
    )
