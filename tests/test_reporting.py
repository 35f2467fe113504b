"""The report says what the record says, on two pages, whatever the record holds."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import catalogs
import cv2
import numpy as np
import pytest
from factories import encode, make_inspection, make_pictures, make_pixels
from pypdf import PdfReader
from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from flawsight.errors import RecordError
from flawsight.i18n import gettext, speaking
from flawsight.inspection.quality import Quality
from flawsight.inspection.result import Box, Inspection
from flawsight.records import Record, Store
from flawsight.records.links import Head
from flawsight.records.reviews import DISPOSITIONS, Review, ReviewBox
from flawsight.reporting.drawings import (
    BoxedPicture,
    Picture,
    bars,
    fitting_size,
    threshold_scale,
    tick_boxes,
)
from flawsight.reporting.report import build_report
from flawsight.reporting.style import BOLD, printable, register_fonts
from flawsight.taxonomy import describe, learn

WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PCB = ("PCB_open", "PCB_short", "PCB_mousebite", "PCB_spur", "PCB_copper", "PCB_pinhole")


def file_away(inspection: Inspection) -> Record:
    return Record.unfiled(inspection, encode(inspection.pixels), make_pictures(inspection), WHEN)


def with_context(record: Record, **context: str) -> Record:
    return replace(record, data={**record.data, "context": context})


def boxes_in_rows(count: int) -> tuple[Box, ...]:
    """Boxes of all PCB types, side by side on a board of 640 x 640 pixels."""
    corners = [(8 + 42 * (n % 15), 8 + 21 * (n // 15)) for n in range(count)]
    return tuple(Box(x, y, x + 30, y + 15, 0.99 - n / 1000, PCB[n % 6]) for n, (x, y) in enumerate(corners))


def read(pdf: bytes) -> PdfReader:
    return PdfReader(BytesIO(pdf), strict=True)


def text_of(pdf: bytes) -> str:
    """All text, its line breaks as single spaces."""
    return " ".join(" ".join(page.extract_text() for page in read(pdf).pages).split())


def test_a_stored_rejection_is_told_whole(tmp_path: Path) -> None:
    metrics = {
        "recall": {"value": 0.971, "low": 0.94, "high": 0.989},
        "overkill": {"value": 0.021, "low": 0.01, "high": 0.044},
    }
    inspection = make_inspection("reject", metrics=metrics)
    with closing(Store(tmp_path)) as store:
        filed = store.add(inspection, encode(inspection.pixels), make_pictures(inspection))
        record = store.get(filed.id)
    text = text_of(build_report(record))
    crack = describe("MT_Crack")
    expected = (
        record.number, f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC", "REJECT", "Crack · 94.0 %",
        inspection.reason, crack.description, *crack.likely_causes, crack.recommended_action,
        "below 30.0 % is accepted, from 70.0 % on rejected", "24.0 points above the limit for rejection",
        "240 × 180 pixels", "60 × 60", "8.3 %", "91.0 %", "an explanation, not a measurement",
        "97.1 % (95 % interval 94.0 % to 98.9 %)", "2.1 % (95 % interval 1.0 % to 4.4 %)",
        inspection.model.name, inspection.model.version, inspection.model.sha256,
        inspection.method["manifest_sha256"], inspection.method["engine"], "longer side at most 1024 px",
        "Use as is", "Rework", "Repair", "Scrap", "Return", "Rationale", "Printed name", "Signature", "Date",
        "By signing, the named person confirms",
    )  # fmt: skip
    assert [phrase for phrase in expected if phrase not in text] == []


def test_a_bad_photo_is_said_on_the_first_page() -> None:
    blurred = Quality(sharpness=0.021, brightest=40.0, darkest=3.0)
    record = file_away(replace(make_inspection(), quality=blurred))
    first = " ".join(read(build_report(record)).pages[0].extract_text().split())
    assert "Mind the photo" in first
    assert [warning for warning in record.data["quality"]["warnings"] if warning not in first] == []
    assert "Mind the photo" not in text_of(build_report(file_away(make_inspection())))


def test_every_page_carries_the_footer() -> None:
    record = file_away(make_inspection())
    pages = read(build_report(record)).pages
    for number, page in enumerate(pages, start=1):
        text = page.extract_text()
        assert f"Page {number} of {len(pages)}" in text
        assert f"{record.number} · revision 1" in text
        assert "AI-assisted; disposition by the named person" in text
        assert record.data["image"]["sha256"] in text
        assert record.record_sha256 in text


@pytest.mark.parametrize("verdict", ["accept", "review", "reject", "unknown"])
def test_each_verdict_makes_two_a4_pages_with_four_pictures(verdict: str) -> None:
    pages = read(build_report(file_away(make_inspection(verdict)))).pages
    assert len(pages) == 2
    assert [round(float(side)) for side in pages[0].mediabox[2:]] == [595, 842]
    assert verdict.upper() in pages[0].extract_text()
    assert len(pages[0].images) == 4


def test_the_pictures_are_the_stored_ones_in_their_colours() -> None:
    record = file_away(make_inspection())
    colours = {
        "original": (200, 30, 30),
        "heatmap": (30, 200, 30),
        "boxes": (30, 30, 200),
        "edges": (90, 90, 90),
    }
    planted = {name: encode(np.full((60, 80, 3), colour, np.uint8)) for name, colour in colours.items()}
    images = read(build_report(replace(record, pictures=planted))).pages[0].images
    means = sorted(tuple(np.asarray(image.image).reshape(-1, 3).mean(axis=0).round()) for image in images)
    shown = {**colours, "boxes": colours["original"]}  # the boxes are drawn over the original
    assert np.allclose(means, sorted(shown.values()), atol=3)


def test_a_large_picture_is_reduced_and_a_small_one_is_not() -> None:
    record = file_away(make_inspection(width=1500, height=1000, boxes=()))
    sizes = {image.image.size for image in read(build_report(record)).pages[0].images}
    assert all(500 < width < 800 for width, _ in sizes)
    small = file_away(make_inspection())
    assert {image.image.size for image in read(build_report(small)).pages[0].images} == {(240, 180)}


def test_a_camera_photo_is_as_sharp_as_print_can_be_and_keeps_its_colours() -> None:
    """A JPEG is unpacked smaller at once; it must still have every pixel that is printed."""
    pixels = np.full((3000, 4000, 3), (200, 30, 30), np.uint8)
    picture = Picture("photo", encode(pixels, ".jpg"), 240, 240)
    jpeg = picture._reader._identity.removeprefix(b"photo")
    printed = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert printed.shape == (500, 667, 3) and (picture.width, picture.height) == (240, 180)
    assert np.allclose(printed.reshape(-1, 3).mean(axis=0), (200, 30, 30), atol=4)


@pytest.mark.parametrize(
    ("language", "said"), [("en", ("1 Blowhole", "2 Crack")), ("de", ("1 Pore", "2 Riss"))]
)
def test_the_boxes_are_named_in_the_reader_s_language_and_numbered_as_in_the_table(
    language: str, said: tuple[str, str]
) -> None:
    boxes = (Box(10, 100, 60, 150, 0.8, "MT_Blowhole"), Box(120, 40, 200, 90, 0.9, "MT_Crack"))
    with speaking(language):
        pages = read(build_report(file_away(make_inspection(boxes=boxes)))).pages
    for page in pages:
        text = " ".join(page.extract_text().split())
        assert [label for label in said if label not in text] == []


def test_labels_of_boxes_cover_no_other_label() -> None:
    register_fonts()
    corners = [(20 + 30 * n, 60 + 3 * n) for n in range(4)]
    data = make_inspection(
        boxes=tuple(Box(x, y, x + 24, y + 30, 0.9, "MT_Crack") for x, y in corners)
    ).to_dict()
    drawn = BoxedPicture("boxes", encode(make_pixels()), data, 240, 240)
    drawn.canv = canvas = Labels(BytesIO())
    drawn.draw()
    assert len(canvas.places) == 4
    for one, other in itertools.combinations(canvas.places, 2):
        assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


def test_a_label_hides_no_other_defect() -> None:
    """A small defect lies just above another, where the label of that one would stand."""
    register_fonts()
    boxes = Box(40, 100, 100, 130, 0.9, "PCB_mousebite"), Box(42, 86, 56, 98, 0.8, "PCB_pinhole")
    data = make_inspection(boxes=boxes).to_dict()
    drawn = BoxedPicture("boxes", encode(make_pixels()), data, 240, 240)
    drawn.canv = canvas = Labels(BytesIO())
    drawn.draw()
    scale = drawn.height / data["image"]["height"]
    areas = [
        (b.x1 * scale, drawn.height - b.y2 * scale, b.x2 * scale, drawn.height - b.y1 * scale) for b in boxes
    ]
    for label, other in zip(canvas.places, reversed(areas), strict=True):
        apart = label[0] >= other[2] or other[0] >= label[2] or label[1] >= other[3] or other[1] >= label[3]
        assert apart, f"{label} lies over {other}"


class Labels(Canvas):
    """Notes where it fills a rectangle."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.places: list[tuple[float, ...]] = []

    def rect(self, x: float, y: float, width: float, height: float, stroke: int = 1, fill: int = 0) -> None:
        if fill:
            self.places.append((x, y, x + width, y + height))
        super().rect(x, y, width, height, stroke, fill)


# --- what is drawn keeps clear of its neighbours ------------------------------------------------------


def words_in(drawing: Drawing) -> list[tuple[str, float, float, float]]:
    """Each text of a drawing with its left end, right end and base line."""
    found = []
    for it in drawing.contents:
        if isinstance(it, String):
            wide = stringWidth(it.text, it.fontName, it.fontSize)
            left = it.x - {"start": 0.0, "middle": wide / 2, "end": wide}[it.textAnchor]
            found.append((it.text, left, left + wide, it.y))
    return found


def overprinted(drawing: Drawing) -> list[tuple[str, str]]:
    words = words_in(drawing)
    return [
        (one[0], other[0])
        for one, other in itertools.combinations(words, 2)
        if one[3] == other[3] and one[1] < other[2] and other[1] < one[2]
    ]


@pytest.mark.parametrize("width", [480, 300, 120])
@pytest.mark.parametrize("language", ["en", "de", "id"])
def test_labels_to_tick_never_run_into_the_next_box(language: str, width: int) -> None:
    register_fonts()
    with speaking(language):
        labels = [gettext(label) for label in DISPOSITIONS.values()]
    drawing = tick_boxes(labels, width, labels[0])
    assert [word[0] for word in words_in(drawing)] == labels and overprinted(drawing) == []
    boxes = [it for it in drawing.contents if isinstance(it, Rect)]
    for text, left, right, y in words_in(drawing):
        assert right <= width + 1, text
        assert not [box for box in boxes if left < box.x < right and abs(box.y - y) < 8], text
    assert len({box.y for box in boxes}) == 1 or width < 480


@pytest.mark.parametrize("limits", [(0.024, 0.781), (0.48, 0.52), (0.0005, 0.01), (0.97, 0.999), (0.5, 0.5)])
def test_every_zone_of_the_scale_is_named_and_no_number_covers_another(limits: tuple[float, float]) -> None:
    register_fonts()
    zones = (
        ("accept", "angenommen", limits[0]),
        ("review", "nachprüfen", limits[1]),
        ("reject", "zurückweisen", 1.0),
    )
    drawing = threshold_scale(0.5, zones, 240)
    said = [word[0] for word in words_in(drawing)]
    assert [name for _, name, end in zones if name not in said] == (
        [] if limits[0] < limits[1] else ["nachprüfen"]
    )
    assert overprinted(drawing) == []
    assert all(left >= 0 and right <= 240 for _, left, right, _ in words_in(drawing))


def test_the_name_of_a_class_is_not_cut_beside_its_bar() -> None:
    register_fonts()
    drawing = bars(
        [("Textur 1: geglättete Stelle", 0.7), ("Textur, gut", 0.3)], 244, "Textur 1: geglättete Stelle"
    )
    assert "Textur 1: geglättete Stelle" in [word[0] for word in words_in(drawing)]
    assert overprinted(drawing) == []


@pytest.mark.parametrize("language", catalogs.TRANSLATED)
@pytest.mark.parametrize("verdict", ["accept", "review", "reject", "unknown"])
def test_no_english_is_left_in_a_translated_report(language: str, verdict: str) -> None:
    record = file_away(make_inspection(verdict))
    with speaking(language):
        text = text_of(build_report(record, head=Head(7, "ab" * 32)))
    assert catalogs.english_in(text.replace(record.data["reason"], ""), language) == []


def test_a_good_part_claims_no_defect() -> None:
    record = file_away(make_inspection("accept", confidence=0.97))
    text = text_of(build_report(record))
    assert "ACCEPT" in text and "Tile, good · 97.0 %" in text
    assert describe("MT_Free").recommended_action in text
    assert "no region is marked" in text and "nothing is marked" in text
    for claim in (
        "REJECT",
        "Likely causes",
        "Severity",
        "What is wrong",
        "regions",
        "hot region",
        "Heat map for",
    ):
        assert claim not in text
    # Every mention of a defect is of its probability, which the acceptance is about.
    assert text.lower().count("defect") == text.lower().count("probability of a defect") > 0


def test_an_accepted_part_is_good_even_if_a_defect_class_leads() -> None:
    """Limits moved at run time may accept what is nearer to a defect than to anything else."""
    text = text_of(build_report(file_away(make_inspection("accept", "MT_Crack", boxes=(), confidence=0.4))))
    first_page = text[: text.index("continued")]
    assert "Good part" in first_page
    assert "Crack" not in first_page and "Likely causes" not in first_page


def test_a_part_for_review_is_not_called_defective() -> None:
    text = text_of(build_report(file_away(make_inspection("review", confidence=0.52))))
    assert "Not decided. Most probable: Crack · 52.0 %" in text
    assert "Hold the part until a person has looked at it" in text
    assert "Release" not in text


def test_a_part_for_review_that_looks_good_is_not_released() -> None:
    inspection = make_inspection("review", "MT_Free", boxes=(), confidence=0.6, defect_probability=0.4)
    text = text_of(build_report(file_away(inspection)))
    assert "Not decided. Most probable: Tile, good" in text
    assert "Hold the part" in text and "Release" not in text and "Likely causes" not in text


def test_an_unknown_part_gets_no_cause_and_no_description() -> None:
    text = text_of(build_report(file_away(make_inspection("unknown", boxes=(), confidence=0.41))))
    assert "Not decided: unlike the known parts" in text
    assert "Closest classes, not an answer" in text and "It has no class, and no confidence in one." in text
    assert "None are marked, since the model does not know this kind of part." in text
    assert "Likely causes" not in text and describe("MT_Crack").description not in text


def test_an_unknown_part_is_told_by_its_distance_and_not_by_a_confidence() -> None:
    inspection = make_inspection("unknown", boxes=(), confidence=0.985)
    far = replace(inspection, method={**inspection.method, "distance": 1.0000001, "distance_limit": 1.0})
    text = text_of(build_report(file_away(far)))
    assert "Distance from known parts 1.01 times the limit" in text
    assert "points above the limit" not in text and "Calibrated probability" not in text


KINDS = ("PCB_copper", "PCB_spur", "PCB_short", "PCB_spur")


def test_all_kinds_of_defect_are_reported_and_the_worst_decides() -> None:
    boxes = tuple(replace(box, class_id=kind) for box, kind in zip(boxes_in_rows(4), KINDS, strict=True))
    record = file_away(make_inspection("reject", "PCB_copper", boxes, width=640, height=640))
    first, second = (" ".join(page.extract_text().split()) for page in read(build_report(record)).pages)
    assert "Short, Spurious copper, 2 × Spur" in first and "Spurious copper · " not in first
    assert "critical, as the worst of them: Short" in first
    assert f"Next step Short: {describe('PCB_short').recommended_action}" in first
    for kind, count in (("PCB_short", "1 box."), ("PCB_copper", "1 box."), ("PCB_spur", "2 boxes.")):
        info = describe(kind)
        assert (
            f"{info.title} {count} {info.description} Causes to be checked: {info.likely_causes[0]}" in first
        )
    assert "Of the picture as a whole" in second


def decided(
    record: Record, verdict: str, class_id: str, boxes: tuple[ReviewBox, ...] = (), **more: str
) -> Review:
    return Review(
        reviewer="Ä. <Kern>", verdict=verdict, class_id=class_id, boxes=boxes, inspection_id=record.id,
        created_at=datetime(2026, 3, 5, 8, 30, tzinfo=UTC), state="corrected", **more,
    )  # fmt: skip


def test_a_persons_verdict_is_the_headline_and_the_models_answer_stands_below() -> None:
    record = file_away(make_inspection("review", "MT_Free", (), confidence=0.57, defect_probability=0.43))
    review = decided(record, "reject", "MT_Crack", disposition="rework")
    pdf = build_report(record, [review])
    first, second = (" ".join(page.extract_text().split()) for page in read(pdf).pages)
    banner = first[first.index("REJECT") :]
    assert (
        "Crack Decided by Ä. <Kern>, 2026-03-05 08:30:00 UTC · Rework · the model was not certain" in banner
    )
    said = "The model’s own answer, unchanged: REVIEW, Not decided. Most probable: Tile, good · 57.0 %."
    assert said in banner and record.data["reason"] in banner
    assert banner.index("Decided by") < banner.index(said)
    assert "Next step Rework the part, then inspect it again." in first and "Hold the part" not in first
    assert describe("MT_Crack").description in first and describe("MT_Free").description not in first
    assert "REJECT · part.png" in second and "How sure the model is" in second
    assert "Neither the model nor Ä. <Kern> marked a place." in second
    assert read(pdf).metadata.subject == "REJECT: part.png"  # type: ignore[union-attr]


def test_a_part_that_a_person_accepted_is_released_and_one_of_no_kind_is_not() -> None:
    record = file_away(make_inspection("reject"))
    text = text_of(build_report(record, [decided(record, "accept", "MT_Free")]))
    assert "ACCEPT Tile, good Decided by" in text and "Next step Release to the next step." in text
    assert "Likely causes" not in text and "91.0 % removed" in text
    text = text_of(build_report(record, [decided(record, "unknown", "MT_Crack")]))
    assert "Not a part for this model Decided by" in text and "Judge the part in another way" in text


def test_boxes_that_a_person_drew_are_listed_and_drawn_dashed_over_the_models() -> None:
    record = file_away(make_inspection())
    kept, own = ReviewBox(60, 40, 120, 100, "MT_Crack"), ReviewBox(5, 6, 50, 60, "MT_Fray")
    before, after = (
        read(build_report(record, answers)).pages
        for answers in ([], [decided(record, "reject", "MT_Crack", (kept, own))])
    )
    second = " ".join(after[1].extract_text().split())
    assert "P1 Fray 5 6 50 60 45 × 54 5.6 % – drawn" in second
    assert "1 Crack 60 40 120 100 60 × 60 8.3 % 91.0 % kept" in second
    assert "dashed, P1: drawn by Ä. <Kern>" in " ".join(after[0].extract_text().split())
    dashed = [b"[3 2] 0 d" in page.get_contents().get_data() for page in (before[0], after[0])]  # type: ignore[union-attr]
    assert dashed == [False, True]


def test_every_answer_of_a_person_makes_a_new_revision() -> None:
    record = file_away(make_inspection())
    answers = [decided(record, "reject", "MT_Crack"), decided(record, "accept", "MT_Free")]
    texts = [text_of(build_report(record, answers[:count])) for count in range(3)]
    for number, text in enumerate(texts, start=1):
        assert text.count(f"{record.number} · revision {number} ") == 2


def test_the_figures_printed_are_those_of_the_parts_own_family() -> None:
    def rate(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    own = {"recall": rate(0.9), "overkill": rate(0.04), "review": rate(0.3), "tested": 1166}
    pooled = {"recall": rate(0.98), "overkill": rate(0.01), "tested": 4832}
    told = text_of(
        build_report(file_away(make_inspection(metrics={**pooled, "datasets": {"Magnetic Tile": own}})))
    )
    assert "Validated on Magnetic Tile, 1,166 test pictures" in told
    assert "Validated recall 90.0 %" in told and "Left to a person 30.0 %" in told
    for metrics in (
        pooled,
        {**pooled, "datasets": {"Magnetic Tile": {"accuracy": rate(0.9)}, "DeepPCB": own}},
    ):
        told = text_of(build_report(file_away(make_inspection(metrics=metrics))))
        assert "Validated on all families, 4,832 test pictures" in told and "Validated recall 98.0 %" in told
    with speaking("de"):  # the family is known by a name that no language changes
        inspection = make_inspection(metrics={**pooled, "datasets": {"Magnetic Tile": own}})
        assert "90,0" in text_of(build_report(file_away(inspection)))


def test_figures_of_other_thresholds_are_not_printed_as_validated() -> None:
    metrics = {"recall": 1.0, "overkill": 0.0, "review": 0.572, "tested": 166}

    def told(**method: Any) -> str:
        inspection = make_inspection("accept", metrics=metrics)
        inspection = replace(
            inspection,
            thresholds={"accept_below": 0.9, "reject_from": 0.95},
            method={**inspection.method, **method},
        )
        return text_of(build_report(file_away(inspection)))

    own = {"accept_below": 0.0573, "reject_from": 0.9342}
    before = "The figures were measured at the model's own thresholds, not at these."
    for method, said in (
        ({"measured_at": own}, "at accept below 5.7 %, reject from 93.4 %, not at these thresholds."),
        ({"thresholds": "set by Ada: a trial"}, before),
    ):
        text = told(**method)
        assert (
            "Not validated The figures" in text
            and said in text
            and "Measured recall 100.0 %" in text
            and "Measured: left to a person 57" in text
        )
        assert "Validated recall" not in text and "Validated on" not in text
    for method in ({"measured_at": {"accept_below": 0.9, "reject_from": 0.95}}, {}):
        text = told(**method)
        assert "Validated recall 100.0 %" in text and "figures were measured" not in text


def test_one_limit_leaves_no_review_band() -> None:
    inspection = replace(make_inspection(), thresholds={"accept_below": 0.5, "reject_from": 0.5})
    text = text_of(build_report(file_away(inspection)))
    assert "below 50.0 % is accepted, from there on rejected" in text
    assert "44.0 points above the limit between accept and reject" in text


@pytest.mark.parametrize("count", [1, 12, 13, 400])
def test_any_number_of_boxes_fits_on_two_pages(count: int) -> None:
    inspection = make_inspection("reject", "PCB_open", boxes_in_rows(count), width=640, height=640)
    pdf = build_report(file_away(inspection))
    assert len(read(pdf).pages) == 2
    text = text_of(pdf)
    assert ("region" if count == 1 else f"{count} regions") in text
    assert all(describe(class_id).title in text for class_id in PCB[:count])
    assert (f"the other {count - 12} are in the JSON" in text) == (count > 12)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<b>bold</b> &amp; <img src='x'/>.png", "<b>bold</b> &amp; <img src='x'/>.png"),
        ("</para><para>.png", "</para><para>.png"),
        ("Ключ λ Čeština.png", "Ключ λ Čeština.png"),
        ("部品.png", r"\u90e8\u54c1.png"),
        ("part\u202egnp.exe", r"part\u202egnp.exe"),
        ("a\x00b\r\nc\udcff.png", r"a\x00b\r\nc\udcff.png"),
        ("😀.png", r"\U0001f600.png"),
        ("", ""),
    ],
)
def test_a_hostile_or_foreign_file_name_is_printed_plainly(name: str, shown: str) -> None:
    record = file_away(make_inspection(name=name))
    pdf = build_report(record)
    assert len(read(pdf).pages) == 2
    assert shown in text_of(pdf)


def test_endless_texts_are_shortened_and_never_make_a_third_page() -> None:
    endless = "x" * 5000
    record = file_away(replace(make_inspection(name=endless, predicted_class=endless), reason=endless * 3))
    record = with_context(
        record, **dict.fromkeys(("site", "line", "part_number", "part_revision", "lot"), endless)
    )
    record.data["method"] = {
        "engine": endless,
        "manifest_sha256": endless,
        "preprocessing": dict.fromkeys("abcdefgh", endless),
        "metrics": {"recall": endless},
    }
    pages = read(build_report(record)).pages
    assert len(pages) == 2
    assert "Printed name" in pages[1].extract_text()


@pytest.mark.parametrize("size", [(4000, 20), (20, 4000), (1, 1), (50, 50)])
def test_a_picture_of_any_shape_fits(size: tuple[int, int]) -> None:
    width, height = size
    inspection = make_inspection("accept", width=width, height=height)
    pages = read(build_report(file_away(inspection))).pages
    assert len(pages) == 2 and len(pages[0].images) == 4


def test_known_fields_are_filled_and_the_others_left_to_write_in() -> None:
    record = with_context(
        file_away(make_inspection()),
        site="Brno",
        part_number="MT-4711",
        part_revision="C",
        inspector="J. <Nováková>",
    )
    text = text_of(build_report(record))
    assert "Brno" in text and "MT-4711, C" in text and "J. <Nováková>" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({}, "Validated recall not recorded in this model file"),
        ({"recall": 0.9}, "Validated recall 90.0 % (interval not recorded)"),
        ({"recall": {"value": 1.0, "low": 0.894, "high": 1.0}}, "100.0 % (95 % interval 89.4 % to 100.0 %)"),
        ({"recall": "very good"}, "Validated recall not recorded in this model file"),
    ],
)
def test_recall_is_given_with_its_interval_or_not_at_all(metrics: dict[str, Any], shown: str) -> None:
    assert shown in text_of(build_report(file_away(make_inspection(metrics=metrics))))


def test_the_same_record_gives_the_same_bytes_from_any_thread() -> None:
    record = file_away(make_inspection())
    with ThreadPoolExecutor(4) as pool:
        pdfs = set(pool.map(build_report, [record] * 8))
    assert len(pdfs) == 1


def test_the_file_is_described_and_dated_like_the_record() -> None:
    record = file_away(make_inspection(name="part 7.png"))
    metadata = read(build_report(record)).metadata
    assert metadata is not None
    assert metadata.title == f"Inspection report {record.number}"
    assert metadata.subject == "REJECT: part 7.png"
    assert metadata.author == "Flawsight"
    assert metadata.creation_date == WHEN


def test_a_record_outside_the_history_says_so() -> None:
    text = text_of(build_report(file_away(make_inspection())))
    assert re.search(r"UNFILED-[0-9A-F]{8}", text) and "not kept in a history" in text


def test_a_missing_picture_is_said_on_the_page() -> None:
    record = file_away(make_inspection())
    pictures = {name: content for name, content in record.pictures.items() if name != "edges"}
    pdf = build_report(replace(record, pictures=pictures))
    assert "This picture was not recorded." in text_of(pdf)
    assert len(read(pdf).pages[0].images) == 3


def test_a_damaged_picture_is_an_error_not_a_blank(tmp_path: Path) -> None:
    record = file_away(make_inspection())
    with pytest.raises(RecordError, match="damaged"):
        build_report(replace(record, pictures={**record.pictures, "original": b"not an image"}))
    with pytest.raises(RecordError, match="cannot be read"):
        build_report(replace(record, pictures={**record.pictures, "edges": tmp_path / "gone.png"}))


def test_a_report_is_made_from_the_record_alone(tmp_path: Path) -> None:
    """The upload may be anything, even gone: it is not opened, so it cannot be analysed again."""
    record = file_away(make_inspection())
    assert build_report(replace(record, upload=tmp_path / "gone")) == build_report(record)


def test_jpeg_and_transparent_pictures_are_printed_too() -> None:
    inspection = make_inspection()
    pictures = make_pictures(inspection, ".jpg")
    pictures["heatmap"] = encode(
        np.dstack([inspection.pixels, np.full(inspection.pixels.shape[:2], 90, np.uint8)])
    )
    ok, webp = cv2.imencode(".webp", inspection.pixels)
    assert ok
    pictures["boxes"] = webp.tobytes()
    pdf = build_report(Record.unfiled(inspection, b"", pictures, WHEN))
    assert len(read(pdf).pages[0].images) == 4


def test_text_within_the_font_is_printed_as_it_is() -> None:
    assert printable("Größe 12 µm ≤ 0,5 – ☐") == "Größe 12 µm ≤ 0,5 – ☐"


def identified(verdict: str = "accept", confidence: float = 0.93) -> Record:
    """A filed inspection of a cloth, whose motif is named and not judged."""
    kind = {"title": "Kawung", "is_defect": False, "description": "Ovals in fours.", "recommended_action": ""}
    kind["facts"] = {"Region of origin": "Java"}
    learn({"title": "Batik motifs", "task": "identify", "classes": {"batik_test": kind}})
    inspection = make_inspection(verdict, "batik_test", boxes=(), confidence=confidence, defect_probability=0)
    wording = {"subject": "motif", "accept": "Recognised", "review": "Not certain"}
    product = {"title": "Batik motifs", "task": "identify", "wording": wording}
    share = f"{100 * confidence:.1f} %"
    return file_away(
        replace(
            inspection,
            reason=f"It is Kawung with a probability of {share}.",
            thresholds={**inspection.thresholds, "sure_from": 0.6},
            probabilities={"batik_test": confidence, "batik_other_free": 1 - confidence},
            method={**inspection.method, "product": product, "metrics": {"accuracy": 0.91}},
        )
    )


def test_a_product_that_is_named_is_told_without_a_word_of_defects() -> None:
    pdf = build_report(identified())
    text, pages = text_of(pdf), read(pdf).pages
    for phrase in (
        "RECOGNISED", "Kawung · 93.0 %", "Flawsight · Batik motifs", "Motif Kawung", "Region of origin Java",
        "named from a probability of 60.0 % on", "33.0 points above the limit from which it is named",
        "2 Heat map for Kawung", "Validated accuracy 91.0 %", "Answer of a person", "It is something else",
    ):  # fmt: skip
        assert phrase in text
    for word in ("defect", "reject", "scrap", "disposition", "severity", "overkill", "edges", "good part"):
        assert word not in text.lower()
    assert len(pages) == 2 and len(pages[0].images) == 2


def test_a_name_that_is_not_certain_is_left_to_a_person() -> None:
    text = text_of(build_report(identified("review", 0.5)))
    assert "NOT CERTAIN" in text and "Not decided. Most probable: Kawung · 50.0 %" in text
    assert "Let a person who knows decide." in text and "10.0 points below" in text


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", ("ERKANNT", "Batikmotive", "Herkunft", "Antwort einer Person")),
        ("id", ("DIKENALI", "Motif batik", "Daerah asal", "Jawaban orang")),
    ],
)
def test_a_named_product_is_reported_in_the_reader_s_language(language: str, said: tuple[str, ...]) -> None:
    with speaking(language):
        text = text_of(build_report(identified())).lower()
    assert [phrase for phrase in said if phrase.lower() not in text] == []
    for word in ("defekt", "fehler", "ausschuss", "cacat", "disposition", "disposisi"):
        assert word not in text


@pytest.mark.parametrize("word", ["RECOGNISED", "NOT A KNOWN MOTIF", "UNWAHRSCHEINLICHKEITSVERDACHT"])
def test_the_longest_word_of_a_verdict_fits_its_place(word: str) -> None:
    register_fonts()
    size = fitting_size(word, BOLD, 19, 120)
    assert 0 < size <= 19 and all(stringWidth(one, BOLD, size) <= 120.01 for one in word.split())
