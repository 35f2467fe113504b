"""Each preset from end to end: a small trained model in the app, a photo in, its page and its report read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import product_models
import pytest
from conftest import served, watched
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader
from web_client import settings_in

from flawsight.web import create_app

WHICH = "Which product is on the bench?"
PRESETS = tuple(product_models.PICTURES)
TITLES = {"batik": "Batik motifs", "casting": "Castings", "dagm-binary": "Textures: defect or none"}
# Of a defect, an acceptance or a disposal: a product that is named has none of them.
JUDGING = ("defect", "reject", "accept", "scrap", "rework", "severity", "causes", "overkill", "good part")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Preset to its folder of class folders."""
    root = tmp_path_factory.mktemp("pictures")
    return {preset: product_models.draw(preset, root / preset) for preset in PRESETS}


@pytest.fixture(scope="session")
def trained(pictures: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Preset to its model file."""
    out = tmp_path_factory.mktemp("trained")
    return {preset: product_models.train(preset, pictures[preset], out) for preset in PRESETS}


@pytest.fixture(scope="module")
def site(trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the models of all presets side by side; batik is the shipped one."""
    folder = tmp_path_factory.mktemp("products")
    (folder / "models").mkdir()
    for preset, model in trained.items():
        shutil.copy(model, folder / ("models/" * (preset != "batik") + model.name))
    app = create_app(settings_in(folder, model=folder / trained["batik"].name))
    fleet = app.extensions["flawsight"].fleet
    for model in fleet.library.models():
        if not model.shipped:
            fleet.models.add(model, fleet.default, "", "On the bench")
    yield from served(app)
    fleet.close()


@pytest.fixture(scope="module")
def batik_site(trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the batik model alone."""
    app = create_app(settings_in(tmp_path_factory.mktemp("batik"), model=trained["batik"]))
    yield from served(app)
    app.extensions["flawsight"].fleet.close()


@pytest.fixture
def batik_page(browser: Browser, batik_site: str) -> Iterator[Page]:
    yield from watched(browser, batik_site, viewport={"width": 1440, "height": 900})


def example(pictures: dict[str, Path], preset: str, kind: str = "") -> Path:
    """A picture of the class ``kind``, by default one that is to be found wrong, or to be named."""
    kind = kind or list(product_models.PICTURES[preset])[-1]
    return pictures[preset] / kind / f"{kind}_0.png"


def inspect(page: Page, picture: Path, product: str = "") -> str:
    """What the result page of ``picture`` says."""
    page.goto("/")
    if product:
        page.get_by_label(WHICH).select_option(product)
    page.get_by_label("Photo of the part").set_input_files(picture)
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")
    return page.locator("main").inner_text()


def report(page: Page) -> str:
    """All text of the PDF behind the button of a result page."""
    with page.expect_download() as started:
        page.get_by_role("link", name="PDF report").click()
    pages = PdfReader(started.value.path(), strict=True).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def judging(text: str) -> list[str]:
    return [word for word in JUDGING if word in text.lower()]


def test_batik_is_named_with_its_region_and_meaning_and_nothing_is_judged(
    batik_page: Page, pictures: dict[str, Path]
) -> None:
    said = inspect(batik_page, example(pictures, "batik", "kawung"))
    expect(batik_page.locator(".verdict-word")).to_have_text("RECOGNISED")
    expect(batik_page.get_by_role("heading", name="Motif")).to_be_visible()
    printed = report(batik_page)
    for text in (
        "Kawung", "Region of origin", "Central Java (Yogyakarta and Surakarta)",
        "Meaning", "Purity and self-control; power that is used justly.",
    ):  # fmt: skip
        assert text in said and text in printed
    assert said.index("Region of origin") < said.index("Meaning")  # as the preset has them
    assert judging(said) == [] and judging(printed) == []
    expect(batik_page.locator("#pictures figure")).to_have_count(3)  # none of boxes
    assert "Boxes" not in said
    assert "RECOGNISED" in printed and "Batik motifs" in printed and "2 Heat map for Kawung" in printed


def test_the_start_page_of_batik_knows_kinds_and_no_defects(batik_page: Page) -> None:
    batik_page.goto("/")
    known = batik_page.locator("#known")
    expect(known).to_contain_text("tells 5 kinds apart")
    assert judging(known.inner_text()) == []


def test_batik_before_the_camera_and_in_the_history_is_named_too(
    batik_page: Page, pictures: dict[str, Path]
) -> None:
    batik_page.goto("/bench/camera")
    expect(batik_page.locator("#shutter")).to_be_enabled()
    batik_page.keyboard.press("Space")
    expect(batik_page.locator("#shots a")).to_have_count(1)
    named = "(RECOGNISED: |NOT CERTAIN: Possibly: )(Kawung|Megamendung|Parang|Sidomukti|Truntum)"
    unknown = "NOT A KNOWN MOTIF: Not a known motif"
    assert re.fullmatch(f"{named}|{unknown}", batik_page.locator("#flash").inner_text())
    inspect(batik_page, example(pictures, "batik", "kawung"))
    batik_page.goto("/history")
    expect(batik_page.locator(".history tbody tr")).not_to_have_count(0)
    first = batik_page.locator(".history tbody tr").first
    expect(first.locator(".judged")).to_contain_text("Kawung")
    assert re.search("RECOGNISED|NOT CERTAIN", first.locator(".judged").inner_text())
    assert judging(batik_page.locator(".history").inner_text()) == []
    batik_page.get_by_text("Filters and order").click()
    batik_page.get_by_label("Class, by the model").select_option(label="Kawung")
    batik_page.get_by_role("button", name="Apply").click()
    batik_page.wait_for_url("**class=batik_kawung**")
    expect(first.locator(".judged")).to_contain_text("Kawung")


def test_the_answer_to_a_motif_is_another_motif_or_none(batik_page: Page, pictures: dict[str, Path]) -> None:
    inspect(batik_page, example(pictures, "batik", "kawung"))
    batik_page.get_by_role("link", name="Review", exact=True).last.click()
    batik_page.wait_for_url("**/review/*")
    assert judging(batik_page.locator("#decision").inner_text()) == []
    expect(batik_page.get_by_label("Disposition")).to_have_count(0)
    expect(batik_page.get_by_role("button", name="Add a box")).to_be_hidden()
    batik_page.locator("body").press("b")  # what the keys of an inspector do has no meaning here
    batik_page.locator("body").press("r")
    area = batik_page.locator("#canvas").bounding_box()
    assert area
    batik_page.mouse.move(area["x"] + 20, area["y"] + 20)
    batik_page.mouse.down()
    batik_page.mouse.move(area["x"] + 90, area["y"] + 90)
    batik_page.mouse.up()
    expect(batik_page.locator("#box-list li")).to_have_count(0)
    batik_page.get_by_label("Class", exact=True).select_option("batik_parang")
    batik_page.get_by_label("Your name").fill("Dewi")
    batik_page.get_by_role("button", name="File", exact=True).click()
    batik_page.wait_for_url("**/inspections/*")
    answers = batik_page.locator(".answers")
    expect(answers).to_contain_text("Parang")
    assert judging(answers.inner_text()) == []


@pytest.mark.parametrize(
    ("preset", "good", "good_title", "bad_title"),
    [
        ("casting", "ok_front", "Good casting", "Defective casting"),
        ("dagm-binary", "DAGM_Free", "No defect", "Surface defect"),
        ("brackets", "good", "Good", "Rusty"),
    ],
)
def test_a_product_that_is_judged_is_accepted_or_rejected_on_page_and_paper(
    page: Page, pictures: dict[str, Path], preset: str, good: str, good_title: str, bad_title: str
) -> None:
    product = f"best_model_{preset}"
    said = inspect(page, example(pictures, preset), product)
    expect(page.locator(".verdict-word")).to_have_text("REJECT")
    expect(page.locator(".verdict-headline")).to_have_text(bad_title)
    assert "probability of any defect" in said and "motif" not in said.lower()
    printed = report(page)
    for text in ("REJECT", bad_title, "Severity", "Validated recall", "Disposition", "Scrap"):
        assert text in printed
    said = inspect(page, example(pictures, preset, good), product)
    expect(page.locator(".verdict-word")).to_have_text("ACCEPT")
    printed = report(page)
    assert "ACCEPT" in printed and good_title in printed and "REJECT" not in printed


def test_the_bench_asks_which_product_and_offers_each_by_its_title(page: Page) -> None:
    page.goto("/")
    offered = page.get_by_label(WHICH).locator("option").all_inner_texts()
    assert set(offered) == {*TITLES.values(), "Brackets", "Let the program choose"}


def test_the_program_chooses_the_product_that_knows_the_part(page: Page, pictures: dict[str, Path]) -> None:
    inspect(page, example(pictures, "batik", "kawung"), "auto")
    expect(page.locator(".class-name")).to_contain_text("Kawung")
    expect(page.locator(".method")).to_contain_text("Chosen among")


def test_all_models_are_asked_about_one_photo_each_in_its_own_words(
    page: Page, pictures: dict[str, Path]
) -> None:
    page.goto("/side-by-side")
    page.get_by_label("Photo of the part").set_input_files(example(pictures, "batik", "kawung"))
    page.get_by_role("button", name="Ask", exact=True).click()
    lines = page.locator(".beside tbody tr")
    expect(lines).to_have_count(len(PRESETS))
    named = lines.filter(has_text="batik")
    expect(named).to_contain_text("RECOGNISED")
    expect(named).to_contain_text("Kawung")
    assert "defect" not in named.inner_text().lower()
