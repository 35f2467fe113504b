"""Trust, in a real browser: a shift that begins with golden parts, and a history that was tampered with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import served, watched
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from web_client import cracked, encoded, surface, tiny_app

from flawsight.web.background import golden_inspect

PAGES = ("/trust", "/trust/golden", "/trust/agreement", "/trust/drift")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return tiny_app(tmp_path_factory.mktemp("trust"), golden="every 8 h")


@pytest.fixture(scope="module")
def locked_site(app: Flask) -> Iterator[str]:
    yield from served(app)


@pytest.fixture
def bench(browser: Browser, locked_site: str) -> Iterator[Page]:
    yield from watched(browser, locked_site, viewport={"width": 1440, "height": 900})


def add_golden(page: Page, path: Path, pixels: object, verdict: str) -> None:
    path.write_bytes(encoded(pixels))  # type: ignore[arg-type]
    page.get_by_label("Picture").set_input_files(path)
    page.get_by_label("Name for it").fill(path.stem)
    page.get_by_label("Must come out as").select_option(verdict)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".done")).to_contain_text(f"{path.stem} is a golden part now")


def test_a_shift_begins_with_golden_parts_and_a_changed_picture_is_found(
    bench: Page, app: Flask, tmp_path: Path
) -> None:
    bench.goto("/")
    expect(bench.locator("#inspect-title ~ .notice")).to_contain_text("Inspection is locked")
    bench.get_by_role("button", name="Inspect sample: MT Crack 1").click()
    expect(bench.get_by_role("heading", level=1)).to_contain_text("Inspection is locked")

    bench.goto("/bench/camera")
    expect(bench.locator(".notice")).to_contain_text("Inspection is locked")
    expect(bench.locator(".notice").get_by_role("link", name="Golden parts")).to_be_visible()

    bench.goto("/trust/golden")
    expect(bench.locator(".outcome[role=alert]")).to_contain_text("there are none")
    add_golden(bench, tmp_path / "smooth.png", surface(), "accept")
    add_golden(bench, tmp_path / "cracked.png", cracked(), "reject")
    bench.get_by_role("button", name="Run the check now").click()
    expect(bench.get_by_text("All stored pictures came out right.")).to_be_visible()
    expect(bench.locator(".golden .badge.accept")).to_have_count(2)

    part = bench.locator(".golden li", has_text="smooth")
    (tmp_path / "today.png").write_bytes(encoded(surface() - 12))
    part.get_by_text("Compare a photo taken now").click()
    part.get_by_label("Photo of this part").set_input_files(tmp_path / "today.png")
    part.get_by_role("button", name="Inspect and compare").click()
    expect(bench.locator(".done")).to_contain_text("The photo of smooth came out right.")
    expect(part.locator(".golden-photo tr", has_text="Brightest tones")).to_contain_text("−")
    cracked_part = bench.locator(".golden li", has_text="cracked")
    cracked_part.locator("summary", has_text="Remove").click()
    cracked_part.get_by_label("Why it is not to be checked any more").fill("worn")
    cracked_part.get_by_role("button", name="Remove this golden part").click()
    expect(bench.locator(".golden li")).to_have_count(1)
    expect(bench.locator("#removed-title ~ ul")).to_contain_text("cracked: worn")

    bench.goto("/")
    bench.get_by_role("button", name="Inspect sample: MT Crack 1").click()
    bench.wait_for_url("**/inspections/*")
    record = app.extensions["flawsight"].store.recent(1)[0]

    bench.get_by_role("link", name="Trust").click()
    bench.get_by_role("button", name="Check now").click()
    expect(bench.get_by_text("All is as it was filed.")).to_be_visible()
    record.pictures["original"].write_bytes(b"another picture")
    bench.get_by_role("button", name="Check now").click()
    expect(bench.get_by_role("alert")).to_contain_text(f"{record.number}: the file original was altered.")


def test_what_is_typed_while_a_check_runs_outlives_its_end(bench: Page, app: Flask) -> None:
    run = app.extensions["flawsight"]
    part = run.golden.add(encoded(cracked()), "cracked once more", "reject", "", "A. Kern")
    check = run.golden.checks.begin("golden", "A. Kern", run.fingerprint())
    bench.goto("/trust/golden")
    line = bench.locator(f"#part-{part.id}")
    line.locator("summary", has_text="Remove").click()
    line.get_by_label("Why it is not to be checked any more").fill("scrapped")
    run.golden.check(check, golden_inspect(run))
    expect(bench.locator("[data-poll]")).to_contain_text("The check has ended.")
    expect(line.get_by_label("Why it is not to be checked any more")).to_have_value("scrapped")
    bench.get_by_role("link", name="Load it anew").click()
    expect(bench.locator("[data-poll]")).to_have_count(0)
    expect(line.locator(".golden-end")).to_have_text("RIGHT")


def test_the_pages_fit_a_phone_and_name_the_one_that_is_open(phone: Page) -> None:
    for address in PAGES:
        phone.goto(address)
        expect(phone.locator(".tabs [aria-current=page]")).to_have_attribute("href", address)
        assert phone.evaluate("document.documentElement.scrollWidth") == 390, address
