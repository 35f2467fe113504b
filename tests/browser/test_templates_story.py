"""Templates, in a real browser: kept on their page, used by the part number, gone when they are removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import served, watched
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from template_parts import COMPARING, FLAW, VIA, board
from web_client import encoded, settings_in

from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import TinyEngine
from flawsight.web import create_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return create_app(settings_in(tmp_path_factory.mktemp("templates")), Inspector(TinyEngine(COMPARING)))


@pytest.fixture(scope="module")
def comparing_site(app: Flask) -> Iterator[str]:
    yield from served(app)


@pytest.fixture
def bench(browser: Browser, comparing_site: str) -> Iterator[Page]:
    yield from watched(browser, comparing_site, viewport={"width": 1280, "height": 900})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, pixels in (("good", board(VIA)), ("part", board(VIA, seed=9)), ("bad", board(VIA, FLAW))):
        (tmp_path / f"{name}.png").write_bytes(encoded(pixels))
    return tmp_path


def inspect(page: Page, photo: Path) -> None:
    page.goto("/")
    if page.get_by_label("Part number").is_hidden():
        page.locator("#context summary").click()
    page.get_by_label("Part number").fill("PCB-7")
    page.get_by_label("Part number").blur()
    page.get_by_label("Photo of the part").set_input_files(photo)
    page.locator("#upload").get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")


def test_a_template_is_kept_used_and_removed(bench: Page, files: Path) -> None:
    inspect(bench, files / "part.png")
    expect(bench.locator(".verdict-word")).to_have_text("REJECT")  # by its picture alone the via looks bad

    bench.goto("/models")
    bench.get_by_role("link", name="Templates").click()
    expect(bench.locator(".empty")).to_contain_text("judged by its picture alone")
    bench.get_by_label("Part number").fill("PCB-7")
    bench.get_by_label("Picture of a good part").set_input_files(files / "good.png")
    bench.get_by_role("button", name="Add template").click()
    expect(bench.locator("#problem")).to_contain_text("The model finds a defect on this picture")
    bench.get_by_label("Picture of a good part").set_input_files(files / "good.png")
    bench.get_by_label("It shows a good part").check()
    bench.get_by_role("button", name="Add template").click()
    expect(bench.locator(".done")).to_have_text("Parts PCB-7 are compared with good.png from now on.")
    expect(bench.locator(".golden img")).not_to_have_js_property("naturalWidth", 0)

    bench.goto("/")
    expect(bench.locator("#lot-note")).to_contain_text("Compared with the template good.png.")
    inspect(bench, files / "part.png")
    expect(bench.locator(".verdict-word")).to_have_text("ACCEPT")
    expect(bench.locator(".template img")).to_be_visible()
    inspect(bench, files / "bad.png")
    expect(bench.locator(".verdict-word")).to_have_text("REJECT")
    expect(bench.locator("#boxes-title ~ .scroll tbody tr")).to_have_count(1)

    bench.goto("/templates")
    bench.locator(".golden summary").click()
    bench.get_by_role("button", name="Inspect these parts without a template").click()
    expect(bench.locator(".done")).to_contain_text("no template any more")
    expect(bench.locator(".checks li")).to_have_count(2)


def test_on_a_phone_nothing_runs_off_the_page(bench: Page) -> None:
    bench.set_viewport_size({"width": 390, "height": 844})
    bench.goto("/templates")
    assert bench.evaluate("document.documentElement.scrollWidth") <= 390
