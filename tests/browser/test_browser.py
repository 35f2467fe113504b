"""What a person does with Flawsight in a browser."""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

KINDS = ("Original", "Heat map", "Boxes", "Sobel edges")


def pick_sample(page: Page, name: str = "MT Crack 1") -> None:
    page.goto("/")
    page.get_by_role("button", name=f"Inspect sample: {name}").click()
    page.wait_for_url("**/inspections/*")


def test_a_picked_sample_shows_a_verdict_and_four_different_pictures(page: Page) -> None:
    pick_sample(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("REJECT: Crack")
    page.wait_for_load_state("networkidle")
    sizes = page.eval_on_selector_all("figure img", "all => all.map(one => one.naturalWidth)")
    assert len(sizes) == len(KINDS) and all(size > 0 for size in sizes)
    links = page.eval_on_selector_all("figure a.frame", "all => all.map(one => one.href)")
    seen = {hashlib.sha256(page.request.get(link).body()).hexdigest() for link in links}
    assert len(seen) == len(KINDS)
    for kind in KINDS:
        expect(page.locator("figcaption strong", has_text=kind)).to_be_visible()


def test_a_good_sample_reads_as_good(page: Page) -> None:
    pick_sample(page, "Mt free 2")
    expect(page.get_by_role("heading", level=1)).to_have_text("ACCEPT: No defect found")
    assert "Likely causes" not in page.inner_text("main")


def test_the_pdf_is_downloaded_and_says_what_the_page_says(page: Page) -> None:
    pick_sample(page)
    with page.expect_download() as started:
        page.get_by_role("link", name="PDF report").click()
    download = started.value
    number = page.locator(".topline p").inner_text().split(" ")[0]
    assert download.suggested_filename == f"{number}.pdf"
    report = PdfReader(BytesIO(Path(download.path()).read_bytes()))
    words = " ".join(part.extract_text() for part in report.pages)
    assert number in words and "REJECT" in words and "Crack" in words
    assert sum(len(part.images) for part in report.pages) >= len(KINDS)


def test_json_and_every_picture_can_be_saved(page: Page) -> None:
    pick_sample(page)
    links = [page.get_by_role("link", name="JSON", exact=True), *page.get_by_role("link", name="Save").all()]
    assert len(links) == 1 + len(KINDS)
    for link in links:
        with page.expect_download() as started:
            link.click()
        assert started.value.suggested_filename.startswith("INSP-")
        assert Path(started.value.path()).stat().st_size > 200


def test_an_upload_is_previewed_inspected_and_listed(page: Page, cracked_file: Path) -> None:
    page.goto("/")
    page.get_by_label("Photo of the part").set_input_files(cracked_file)
    expect(page.get_by_role("img", name="Preview of the chosen image")).to_be_visible()
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")
    expect(page.locator(".file-name")).to_contain_text("tile from line 3.png")
    page.get_by_role("link", name="Inspect another").click()
    expect(page.locator("#recent li").first).to_contain_text("tile from line 3.png")


def test_a_dropped_file_is_taken(page: Page, cracked_file: Path) -> None:
    page.goto("/")
    carried = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            return transfer;
        }""",
        list(cracked_file.read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": carried})
    expect(page.locator("#drop-hint")).to_have_text("dropped.png")
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("REJECT: Crack")


def test_a_file_dropped_beside_the_zone_is_taken_and_the_page_stays(page: Page, cracked_file: Path) -> None:
    page.goto("/")
    beside = page.get_by_role("heading", name="Or try a sample").bounding_box()
    assert beside
    hand = page.context.new_cdp_session(page)  # a real file, as out of the computer's file manager
    carried = {"items": [], "files": [str(cracked_file)], "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver"):
        hand.send(
            "Input.dispatchDragEvent", {"type": step, "x": beside["x"], "y": beside["y"], "data": carried}
        )
    expect(page.locator("#drop")).to_have_class("drop over")
    hand.send(
        "Input.dispatchDragEvent", {"type": "drop", "x": beside["x"], "y": beside["y"], "data": carried}
    )
    expect(page.locator("#drop-hint")).to_have_text(cracked_file.name)
    expect(page.locator("#drop")).to_have_class("drop chosen")
    assert len(page.context.pages) == 1 and page.url.endswith("/")
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")


def test_text_is_dropped_into_a_field_as_ever(page: Page) -> None:
    page.goto("/")
    page.locator("#context summary").click()
    field = page.get_by_label("Part number")
    place = field.bounding_box()
    assert place
    at = {"x": place["x"] + 20, "y": place["y"] + 10}
    carried = {"items": [{"mimeType": "text/plain", "data": "MT-4711"}], "dragOperationsMask": 1}
    hand = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        hand.send("Input.dispatchDragEvent", {"type": step, **at, "data": carried})
    expect(field).to_have_value("MT-4711")
    expect(page.locator("#drop")).to_have_class("drop")


def test_a_broken_file_gets_a_message_and_the_next_one_works(
    page: Page, cracked_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(cracked_file.read_bytes()[:300])
    page.goto("/")
    page.get_by_label("Photo of the part").set_input_files(broken)
    page.get_by_role("button", name="Inspect", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("damaged or ends early")
    page.get_by_label("Photo of the part").set_input_files(cracked_file)
    expect(page.get_by_role("alert")).to_be_empty()
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")


def test_a_file_over_the_limit_is_refused_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(2**20 + 1))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.goto("/")
    page.get_by_label("Photo of the part").set_input_files(large)
    expect(page.get_by_role("alert")).to_contain_text("larger than the limit")
    page.get_by_role("button", name="Inspect", exact=True).click()
    assert "POST" not in sent


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Photo of the part")).to_be_focused()
    for role, name in (("button", "A whole folder"), ("link", "Camera")):
        page.keyboard.press("Tab")
        expect(page.get_by_role(role, name=name)).to_be_focused()  # type: ignore[arg-type]
    page.keyboard.press("Tab")
    expect(page.locator("#context summary")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Inspect", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    sample = page.get_by_role("button", name="Inspect sample: MT Crack 1")
    expect(sample).to_be_focused()
    assert sample.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/inspections/*")
    page.locator("#main").get_by_role("link", name="PDF report").focus()
    for name in ("JSON", "Accept", "Reject", "Review", "Make it a golden part"):
        page.keyboard.press("Tab")
        expect(page.locator("#main").get_by_role("link", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Zoom out")).to_be_focused()


def test_a_phone_scrolls_in_one_direction_only(phone: Page) -> None:
    width = "document.documentElement.scrollWidth"
    phone.goto("/")
    assert phone.evaluate(width) == 390
    pick_sample(phone)
    assert phone.evaluate(width) == 390
    phone.goto("/nowhere")
    assert phone.evaluate(width) == 390


def test_everything_works_without_scripts(scriptless: Page, cracked_file: Path, tmp_path: Path) -> None:
    scriptless.goto("/")
    scriptless.get_by_label("Photo of the part").set_input_files(cracked_file)
    scriptless.get_by_role("button", name="Inspect", exact=True).click()
    expect(scriptless.get_by_role("heading", level=1)).to_have_text("REJECT: Crack")
    expect(scriptless.get_by_role("slider")).to_be_hidden()
    expect(scriptless.locator("figure img:visible")).to_have_count(len(KINDS))
    number = scriptless.url
    scriptless.get_by_role("link", name="Review", exact=True).last.click()
    expect(scriptless.get_by_text("A part that you reject is filed with these:")).to_be_visible()
    expect(scriptless.get_by_text(re.compile(r"Crack \(\d+, \d+\) – \(\d+, \d+\)"))).to_be_visible()
    shapes = [
        (box["width"], box["height"])
        for name in ("The inspected part, tile from line 3.png", "The part with the boxes of the model")
        if (box := scriptless.get_by_role("img", name=name).bounding_box())
    ]
    assert len(shapes) == 2 and shapes[0] == pytest.approx(shapes[1], abs=1), "neither is stretched"
    expect(scriptless.locator(".needs-scripts:visible")).to_have_count(0)
    scriptless.goto(number)
    wrong = tmp_path / "wrong.png"
    for content, heading in (
        (b"nothing", "This is not an image we can read"),
        (bytes(2**21), "The image is too large"),
    ):
        wrong.write_bytes(content)
        scriptless.goto("/")
        scriptless.get_by_label("Photo of the part").set_input_files(wrong)
        scriptless.get_by_role("button", name="Inspect", exact=True).click()
        expect(scriptless.get_by_role("heading", level=1)).to_have_text(heading)


def test_the_page_is_told_apart_by_landmarks_headings_and_names(page: Page) -> None:
    for address in ("/", None):
        if address:
            page.goto(address)
        else:
            pick_sample(page)
        for role in ("banner", "main", "contentinfo"):
            expect(page.get_by_role(role)).to_have_count(1)  # type: ignore[arg-type]
        for name in ("Main", "Account"):
            expect(page.get_by_role("navigation", name=name, exact=True)).to_have_count(1)
        expect(page.get_by_role("navigation")).to_have_count(2)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        assert page.locator("img:not([alt])").count() == 0
        for control in page.locator("a:visible, button:visible").all():
            named = control.locator("img[alt]:not([alt=''])").count()
            assert control.inner_text().strip() or named, control.evaluate("one => one.outerHTML")
