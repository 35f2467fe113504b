"""A lot from its opening to its report, in a real browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from web_client import cracked, encoded, surface


def photos(folder: Path, good: int, bad: int = 0) -> list[Path]:
    """Photos of parts, each another part."""
    made = []
    for index in range(good + bad):
        pixels = surface(160 + index) if index < good else cracked(200 + index)
        made.append(folder / f"{folder.name}-{index}.png")
        made[-1].write_bytes(encoded(pixels))
    return made


def open_lot(page: Page, number: str, size: int = 2) -> None:
    page.goto("/lots")
    page.get_by_role("link", name="Open a lot").click()
    page.get_by_label("Lot number").fill(number)
    page.get_by_label("Lot size, parts").fill(str(size))
    page.get_by_label("Part number").fill("SHAFT-42")
    page.get_by_label("Your name").fill("Olga Berg")
    page.get_by_role("button", name="Open the lot").click()
    expect(page.get_by_role("heading", name=f"Lot {number}")).to_be_visible()


def inspect_into(page: Page, files: list[Path]) -> None:
    """From the lot's page over the bench and back."""
    address = page.url
    page.get_by_role("button", name="Inspect into this lot").click()
    expect(page.get_by_text("Goes into the open lot")).to_be_visible()
    page.locator("#file[multiple]").set_input_files(files)  # the page's script has run by then
    page.get_by_role("button", name=f"Inspect {len(files)} photos").click()
    expect(page.locator("#batch-said")).to_contain_text(f"Finished, {len(files)} of {len(files)}")
    page.goto(address)


def test_a_good_lot_is_opened_inspected_accepted_and_reported(page: Page, tmp_path: Path) -> None:
    open_lot(page, "B-1")
    expect(page.get_by_role("heading", name="Not decided yet")).to_be_visible()
    inspect_into(page, photos(tmp_path, good=2))
    expect(page.get_by_role("heading", name="The plans accept it")).to_be_visible()
    expect(page.locator("#parts .queue li")).to_have_count(2)
    page.get_by_label("Your name").fill("Ines Kern")
    page.get_by_role("button", name="Close the lot").press("Enter")
    expect(page.get_by_text("The lot was closed.")).to_be_visible()
    page.get_by_role("radio", name="Accept").check()
    page.get_by_label("Rationale").fill("Within all limits.")
    page.get_by_role("button", name="File the disposition").click()
    expect(page.get_by_role("heading", name="ACCEPTED")).to_contain_text("Disposition: Accept")
    with page.expect_download() as download:
        page.get_by_role("link", name="Lot report (PDF)").click()
    assert download.value.path().read_bytes().startswith(b"%PDF")
    expect(page.get_by_role("link", name="Non-conformance report (PDF)")).to_have_count(0)


def test_a_bad_part_rejects_the_lot_and_the_ncr_is_one_click(page: Page, tmp_path: Path) -> None:
    open_lot(page, "B-2", size=90)
    inspect_into(page, photos(tmp_path, good=1, bad=1))
    expect(page.get_by_role("heading", name="The plans reject it")).to_be_visible()
    expect(page.get_by_role("radio", name="Accept")).to_be_disabled()
    page.get_by_role("link", name="Nonconforming (1)").click()
    expect(page.locator("#parts .queue li")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Non-conformance report (PDF)").click()
    assert download.value.path().read_bytes().startswith(b"%PDF")


def test_an_open_lot_brings_itself_up_to_date_and_keeps_what_is_written(page: Page) -> None:
    open_lot(page, "B-4", size=90)
    address, said = page.url, page.locator("#live-said")
    expect(page.get_by_text("This page follows the lot by itself.")).to_be_visible()
    expect(said).to_be_empty()  # nothing is read out until something happens
    page.get_by_role("link", name="Undecided (0)").focus()
    send(page, cracked(), "B-4")
    expect(page.get_by_role("heading", name="The plans reject it")).to_be_visible()
    expect(page.get_by_role("link", name="Undecided (0)")).to_be_focused()
    expect(said).to_contain_text("The plans reject it. 1 of ")
    expect(page.locator("#parts .queue li")).to_have_count(1)
    page.get_by_label("Rationale").fill("A crack.")
    send(page, surface(), "B-4")
    expect(page.locator("#parts .queue li")).to_have_count(2)
    expect(page.get_by_label("Rationale")).to_have_value("A crack.")
    page.get_by_label("Rationale").fill("")
    close_elsewhere(page, address)
    expect(page.get_by_role("heading", name="WITHDRAWN")).to_be_visible()
    expect(said).to_contain_text("Withdrawn: No disposition yet.")
    expect(page.get_by_role("heading", name="Disposition", exact=True)).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(5_000)
    assert asked == [], "a closed lot is left alone"


def test_a_page_nobody_looks_at_asks_nothing_and_a_lost_server_is_said(page: Page) -> None:
    open_lot(page, "B-5", size=90)
    asked: list[str] = []
    # The browser itself may still ask for the icon in its tab.
    page.on("request", lambda request: asked.append(request.url) if "/static/" not in request.url else None)
    hide = """(value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(5_000)
    assert asked == []
    page.route("**/mark", lambda route: route.fulfill(status=503))
    for _ in range(3):
        page.evaluate(hide, False)
        page.wait_for_timeout(200)
    expect(page.locator("#live")).to_contain_text("no longer up to date")
    page.unroute("**/mark")
    page.evaluate(hide, False)
    expect(page.locator("#live")).to_contain_text("follows the lot")


def test_the_bench_learns_that_its_lot_was_closed_and_another_is_chosen_on_the_spot(
    page: Page, tmp_path: Path
) -> None:
    open_lot(page, "B-6")
    open_lot(page, "B-7")
    closed = page.url
    page.get_by_role("button", name="Inspect into this lot").click()
    expect(page.get_by_text("Goes into the open lot B-7")).to_be_visible()
    page.locator("#file[multiple]").set_input_files(photos(tmp_path, good=2))
    close_elsewhere(page, closed)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as on coming back to the window
    expect(page.get_by_text("Lot B-7 is closed.")).to_be_visible()
    page.get_by_role("button", name="Lot B-6").click()
    expect(page.get_by_text("Goes into the open lot B-6")).to_be_visible()
    page.get_by_role("button", name="Inspect 2 photos").click()  # those chosen before are still there
    expect(page.locator("#batch-said")).to_contain_text("Finished, 2 of 2")
    page.goto("/lots")
    page.get_by_role("link", name="B-6").click()
    expect(page.locator("#parts .queue li")).to_have_count(2)
    page.goto("/")
    expect(page.get_by_text("Goes into the open lot B-6")).to_be_visible()


def send(page: Page, pixels: np.ndarray, lot: str) -> None:
    """Inspect from elsewhere, without the page knowing."""
    photo = {"name": "part.png", "mimeType": "image/png", "buffer": encoded(pixels)}
    answer = page.request.post("/api/v1/inspections", multipart={"file": photo, "lot": lot})
    assert answer.status == 201


def close_elsewhere(page: Page, address: str) -> None:
    lot = address.rsplit("/", 1)[1]
    said = {"decision": "withdraw", "rationale": "Wrong drawing.", "by": "Ines Kern"}
    assert page.request.post(f"/api/v1/lots/{lot}/decision", data=said).ok


def test_the_plan_follows_the_form(page: Page) -> None:
    page.goto("/lots/new")
    plan = page.locator("#lot-plan")
    expect(plan).to_contain_text("Say how large the lot is")
    expect(page.get_by_role("button", name="Show the plan")).to_be_hidden()
    page.get_by_label("Lot size, parts").fill("5000")
    expect(plan).to_contain_text("200 parts of the lot are to be inspected.")
    page.get_by_label("General inspection level").select_option("I")
    expect(plan).to_contain_text("80 parts of the lot are to be inspected.")
    page.get_by_label("Lot size, parts").fill("0")
    expect(plan).to_contain_text("A lot has 1 to")


def test_the_letters_of_the_trend_stay_legible_on_a_phone(phone: Page) -> None:
    for number in ("P-1", "P-2"):
        open_lot(phone, number)
        for _ in range(2):
            send(phone, cracked(), number)
        address = phone.url
        lot = address.rsplit("/", 1)[1]
        assert phone.request.post(
            f"/api/v1/lots/{lot}/decision", data={"decision": "reject", "by": "Ines"}
        ).ok
    phone.goto("/lots/trend")
    letters = phone.locator(".p-chart text").first
    assert letters.evaluate("one => one.getBoundingClientRect().height") >= 12
    expect(phone.get_by_text("swipe it sideways")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_lots_fit_a_phone(phone: Page) -> None:
    open_lot(phone, "B-3", size=5000)
    for address in (phone.url, "/lots", "/lots/new", "/lots/trend"):
        phone.goto(address)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, address


BROKEN_WORDS = """() => [...document.querySelectorAll('h1, h2')].flatMap(heading => {
  const found = [], walker = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT)
  const line = (node, at) => {
    const range = document.createRange()
    range.setStart(node, at)
    range.setEnd(node, at + 1)
    return Math.round([...range.getClientRects()].at(-1)?.top ?? 0)
  }
  for (let node; (node = walker.nextNode());)
    for (const {0: word, index} of node.nodeValue.matchAll(/[^\\s\\u00ad-]{4,}/g))
      if (line(node, index) != line(node, index + word.length - 1)) found.push(word)
  return found
})"""


@pytest.mark.parametrize("language", ["de", "id"])
def test_no_word_of_a_heading_is_broken_without_a_hyphen_on_a_phone(
    phone: Page, tmp_path: Path, language: str
) -> None:
    open_lot(phone, f"B-9-{language}")
    lot = phone.url.rsplit("/", 1)[1]
    said = {"decision": "reject", "rationale": "Wrong drawing.", "by": "Ines Kern"}
    assert phone.request.post(f"/api/v1/lots/{lot}/decision", data=said).ok
    said = {"disposition": "sort", "rationale": "All parts.", "by": "Ines Kern"}
    assert phone.request.post(f"/api/v1/lots/{lot}/disposition", data=said).ok
    cookie = {"name": "flawsight_language", "value": language, "url": phone.url}
    phone.context.add_cookies([cookie])  # type: ignore[list-item]
    phone.reload()
    assert phone.evaluate(BROKEN_WORDS) == []
