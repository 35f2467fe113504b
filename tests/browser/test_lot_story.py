"""A lot from its opening to its report, in a real browser."""

from __future__ import annotations

from pathlib import Path

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
    page.get_by_label("Photo of the part").set_input_files(files)
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


def test_lots_fit_a_phone(phone: Page) -> None:
    open_lot(phone, "B-3", size=5000)
    for address in (phone.url, "/lots", "/lots/new", "/lots/trend"):
        phone.goto(address)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, address
