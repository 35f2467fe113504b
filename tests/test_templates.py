"""A part beside its template: what differs, what that means, where templates are kept, what people see."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from template_parts import COMPARING, DECISION, FLAW, RULE, TURNED, VIA, Picture, board
from tiny_parts import tiny_onnx
from web_client import close, encoded, post_file, settings_in, tiny_app, token

from flawsight.cli import main
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import ModelError, NotFound
from flawsight.i18n import speaking
from flawsight.imaging import encode_png
from flawsight.inspection.compare import compare
from flawsight.inspection.engines import HEAD_KEY
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.template import NoComparison, Rule, Template
from flawsight.inspection.tiny import HEAD, TinyEngine
from flawsight.inspection.words import reason_of
from flawsight.learning.templates import FEWEST, choose_rule, template_figures
from flawsight.metadata import ONNX_KEY
from flawsight.records import Accounts, Store
from flawsight.records.part_templates import BadTemplate, LostTemplate, PartTemplates
from flawsight.records.verify import verify
from flawsight.reporting.words import template_words
from flawsight.web import create_app
from flawsight.web.background import golden_inspect


@pytest.fixture(scope="module")
def comparing() -> Inspector:
    return Inspector(TinyEngine(COMPARING))


# --- what differs ---------------------------------------------------------------------------------------


def test_what_differs_is_found_where_it_is_and_nothing_else() -> None:
    found = compare(board(VIA, FLAW), board(VIA))
    assert found.fits and found.unlike < 0.01
    (one,) = found.differences
    x, y = FLAW
    assert (one.x1, one.y1, one.x2, one.y2) == pytest.approx((x - 6, y - 6, x + 7, y + 7), abs=2)
    assert one.thickness == pytest.approx(6.5, abs=1.5) and one.length == pytest.approx(13, abs=2)


@pytest.mark.parametrize(
    "template",
    [
        board(VIA, seed=9),
        board(VIA, at=(5, -4)),
        np.clip(board(VIA) * 0.7 + 40, 0, 255).astype(np.uint8),
        cv2.resize(board(VIA), (384, 288), interpolation=cv2.INTER_AREA),
        cv2.warpAffine(board(VIA), TURNED, (256, 192), borderMode=cv2.BORDER_REPLICATE),
    ],
    ids=["another photo", "shifted", "in other light", "larger", "turned by a degree"],
)  # fmt: skip
def test_a_template_fits_that_was_photographed_a_little_otherwise(template: Picture) -> None:
    found = compare(board(VIA, FLAW), np.asarray(template, np.uint8))
    assert found.fits
    middles = [
        ((one.x1 + one.x2) / 2, (one.y1 + one.y2) / 2) for one in found.differences if one.thickness > 4
    ]
    assert middles == [pytest.approx(FLAW, abs=3)]


def test_a_rim_that_lies_two_pixels_beside_is_thin_and_a_broken_track_is_seen() -> None:
    wider, broken = board(), board()
    wider[8:150, 54:56] = 110  # of the left track
    broken[60:70, 118:123] = 170  # of the middle one
    for one in compare(wider, board()).differences:
        assert one.thickness < 3
    assert any(one.thickness > 2 for one in compare(broken, board()).differences)


def test_pictures_of_something_else_do_not_fit() -> None:
    for other in (board(VIA)[::-1, ::-1], board(VIA).transpose(1, 0, 2), board(VIA, at=(40, -40))):
        assert not compare(board(VIA), np.ascontiguousarray(other)).fits
    noise = np.random.default_rng(1).integers(0, 255, (192, 256, 3), np.uint8)
    assert not compare(board(VIA), noise).fits


def test_blank_and_tiny_pictures_are_compared_as_well() -> None:
    blank = np.full((64, 64, 3), 180, np.uint8)
    assert compare(blank, blank).fits and not compare(blank, blank).differences
    assert compare(blank[:1, :1], blank[:1, :1]).fits


# --- what it means --------------------------------------------------------------------------------------


def test_what_belongs_there_is_no_defect(comparing: Inspector) -> None:
    part, template = board(VIA), Template(board(VIA, seed=9), "good.png", "ab")
    assert comparing.inspect(part, name="part").verdict == "reject"
    held = comparing.inspect(part, name="part", template=template)
    assert held.verdict == "accept" and held.boxes == () and held.heatmap.peak_score == 0
    said = held.method["template"]
    assert (said["name"], said["sha256"], said["fits"]) == ("good.png", "ab", True)
    assert (said["differences"], said["doubtful"]) == (0, 0)
    assert sum(held.probabilities.values()) == pytest.approx(1)


def test_what_does_not_belong_there_is_boxed_with_a_margin(comparing: Inspector) -> None:
    held = comparing.inspect(board(VIA, FLAW), name="part", template=Template(board(VIA), "good.png"))
    assert held.verdict == "reject" and held.predicted_class == "MT_Crack"
    (box,) = held.boxes
    x, y = FLAW
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((x - 12, y - 12, x + 13, y + 13), abs=3)
    assert box.class_id == held.predicted_class and box.score >= RULE["score"]
    assert (held.heatmap.peak[0] - x) ** 2 + (held.heatmap.peak[1] - y) ** 2 < 20**2


def test_what_is_missing_is_a_defect_though_the_network_sees_nothing(comparing: Inspector) -> None:
    part = board(tracks=False)
    assert comparing.inspect(part, name="part").defect_probability < 0.05
    held = comparing.inspect(part, name="part", template=Template(board(VIA, tracks=False), "good.png"))
    assert held.defect_probability > 0.5 and held.verdict != "accept"


def test_where_the_template_shows_nothing_the_network_alone_counts(comparing: Inspector) -> None:
    beside = Template(board(VIA, at=(24, 0)), "good.png")  # it begins 24 pixels further right
    held = comparing.inspect(board(VIA, (9, 96)), name="part", template=beside)
    assert held.method["template"]["fits"] and held.verdict != "accept"
    assert [box for box in held.boxes if box.x1 < 9 < box.x2 and box.y1 < 96 < box.y2]
    assert comparing.inspect(board(VIA), name="part", template=beside).verdict == "accept"


def test_of_the_places_that_differ_those_that_are_boxed_are_told_from_the_network_s_own(
    comparing: Inspector,
) -> None:
    beside = Template(board(VIA, at=(24, 0)), "good.png")
    said = comparing.inspect(board(VIA, (9, 96), FLAW), name="part", template=beside).to_dict()
    assert len(said["boxes"]) == 2 and said["method"]["template"]["differences"] == 1
    assert template_words(said) == "good.png (places that differ: 1, boxed: 1)"
    del said["method"]["template"]["boxed"]  # as filed before
    assert template_words(said) == "good.png (places that differ: 1, boxed: 1)"


@pytest.mark.parametrize("shift", range(3, 8))
def test_a_flaw_in_a_strip_too_narrow_for_a_cell_that_the_template_does_not_show_is_found(
    comparing: Inspector, shift: int
) -> None:
    part, beside = board(), Template(board(at=(shift, 0), seed=6), "good.png")
    clean = comparing.inspect(part, name="part", template=beside)
    assert clean.method["template"]["fits"] and clean.verdict == "accept"
    part[80:120, : min(shift, 5)] = 0  # the template begins ``shift`` pixels further right
    assert comparing.inspect(part, name="part").verdict == "reject"
    assert comparing.inspect(part, name="part", template=beside).verdict == "reject"


def test_a_part_that_is_not_its_template_s_is_not_judged_and_every_language_says_why(
    comparing: Inspector,
) -> None:
    other = np.ascontiguousarray(board(VIA, FLAW)[::-1, ::-1])
    held = comparing.inspect(board(VIA), name="part", template=Template(other, "other.png"))
    assert held.verdict == "unknown" and held.boxes == ()
    assert "from the template other.png" in held.reason and not held.method["template"]["fits"]
    assert held.method["template"]["differences"] is None
    with speaking("de"):
        assert "Vorlage other.png" in reason_of(held.to_dict())


def test_what_clearly_differs_is_left_to_a_person_however_harmless_the_rule_finds_it(tmp_path: Path) -> None:
    harmless = {**RULE, "bias": -30.0}
    inspector = Inspector(TinyEngine(COMPARING), replace(DECISION, template=harmless))
    template = Template(board(VIA), "good.png")
    held = inspector.inspect(board(VIA, FLAW), name="part", template=template)
    assert held.verdict == "review" and held.defect_probability < DECISION.accept_below
    assert "at 1 place it clearly differs" in held.reason
    (box,) = held.boxes
    assert box.x1 < FLAW[0] < box.x2 and box.y1 < FLAW[1] < box.y2
    with speaking("de"):
        assert "an 1 Stelle deutlich" in reason_of(held.to_dict())
    assert inspector.inspect(board(VIA, seed=9), name="part", template=template).verdict == "accept"


def test_a_hairline_through_the_middle_of_a_track_goes_to_a_person() -> None:
    wide, cut = board(VIA), board(VIA)
    for pixels in (wide, cut):
        pixels[20:170, 200:215] = 20
    cut[100:102, 198:217] = 170
    harmless = {**RULE, "bias": -30.0}
    inspector = Inspector(TinyEngine(COMPARING), replace(DECISION, template=harmless))
    (one,) = compare(cut, wide).differences
    assert one.thickness < 3 and one.inland > 5
    held = inspector.inspect(cut, name="part", template=Template(wide, "good.png"))
    assert held.verdict == "review" and [box.y1 < 101 < box.y2 for box in held.boxes] == [True]


def test_whether_there_is_too_much_or_too_little_tells_kinds_apart() -> None:
    part, template = board(VIA, FLAW), Template(board(VIA), "good.png")  # the flaw is darker
    found = []
    for dark, bright in (("MT_Crack", "MT_Blowhole"), ("MT_Blowhole", "MT_Crack")):
        rule = {**RULE, "brighter": {dark: 0.01, bright: 0.99}}
        inspector = Inspector(TinyEngine(COMPARING), replace(DECISION, template=rule))
        found.append(inspector.inspect(part, name="part", template=template).boxes[0].class_id)
    assert found == ["MT_Crack", "MT_Blowhole"]


def test_a_model_that_was_not_taught_to_compare_says_so() -> None:
    with pytest.raises(NoComparison, match="not taught to compare"):
        Inspector(TinyEngine()).inspect(board(), name="part", template=Template(board(), "good.png"))
    with pytest.raises(NoComparison, match="not taught to compare"):
        Inspector(TinyEngine()).template(encoded(board()), "good.png")


def test_a_difference_is_more_likely_a_defect_the_thicker_and_the_shorter_it_is() -> None:
    rule = Rule.of(RULE)
    assert rule.thickness > 0 > rule.length and rule.network > 0
    with pytest.raises(NoComparison):
        Rule.of({})
    with pytest.raises(ModelError, match="cannot be read"):
        Rule.of({"weight": 1.0})


# --- how the rule is chosen, and what templates are worth ---------------------------------------------------


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Twelve boards with two flaws each and a track that lies beside its template's; a region a flaw."""
    folder, rng = tmp_path_factory.mktemp("boards"), np.random.default_rng(0)
    samples = []
    for number in range(12):
        template, part = board(VIA, seed=number), board(VIA, seed=number + 50)
        for side in (part, template):
            cv2.line(side, (40, 30), (40, 165), (60, 60, 60), 3)
        part[30:165, 42:45] = 60  # wider by three pixels, which harms nobody
        part[178:182, 20:110] = 60
        flaws = [(int(rng.integers(60, 108)), 110), (int(rng.integers(140, 230)), int(rng.integers(30, 160)))]
        for x, y in flaws:
            cv2.circle(part, (x, y), 6, (20, 20, 20), -1)
        boxes = tuple(LabelledBox(x - 12, y - 12, x + 13, y + 13, "MT_Crack") for x, y in flaws)
        paths = folder / f"{number}_test.png", folder / f"{number}_temp.png"
        for path, pixels in zip(paths, (part, template), strict=True):
            path.write_bytes(encode_png(pixels))
        for x, _ in flaws:
            left = max(0, min(x - 32, 192))
            region = (left, 64, left + 64, 128)
            sample = Sample(paths[0], "MT_Crack", "DeepPCB", f"g{number}", region, None, boxes)
            samples.append(replace(sample, template=paths[1]))
        samples.append(Sample(paths[1], "MT_Free", "DeepPCB", f"g{number}", (0, 0, 64, 64)))
    return samples


def test_the_rule_tells_flaws_from_tracks_that_lie_beside(boards: list[Sample]) -> None:
    chosen = choose_rule(TinyEngine(), boards)
    rule = Rule.of(chosen)
    assert rule.margin == pytest.approx(6, abs=3) and rule.brighter["MT_Crack"] < 0.1  # all of them are dark
    figures = template_figures(Inspector(TinyEngine(), replace(DECISION, template=chosen)), boards)
    assert figures["boards"]["boards"] == 12 and figures["boards"]["f"] > 0.8
    assert figures["boards"]["map"] > 0.8


def test_too_few_boards_or_none_beside_a_template_choose_no_rule(boards: list[Sample]) -> None:
    few = [sample for sample in boards if sample.group in ("g0", "g1")]
    assert 2 * len(few) < FEWEST and choose_rule(TinyEngine(), few) == {}
    assert choose_rule(TinyEngine(), [replace(sample, template=None) for sample in boards]) == {}
    assert template_figures(Inspector(TinyEngine()), boards) == {}


def test_good_regions_are_cut_where_no_flaw_is_and_compared_with_and_without(boards: list[Sample]) -> None:
    figures = template_figures(Inspector(TinyEngine(COMPARING)), boards)
    held, alone = figures["regions"], figures["regions_without"]
    assert held["n"] == alone["n"] > held["defective"] == alone["defective"] == 24
    # Without a template the tracks and the via look defective to the tiny engine.
    assert held["overkill_rate"]["value"] < alone["overkill_rate"]["value"]


# --- where they are kept ----------------------------------------------------------------------------------


def test_the_latest_template_of_a_part_holds_and_its_own_revision_comes_first(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "instance")) as store:
        templates = PartTemplates(store)
        pictures = [encoded(board(VIA, seed=seed)) for seed in range(3)]
        templates.keep(pictures[0], "first.png", "PCB-7", "", "A. Kern")
        templates.keep(pictures[1], "second.png", "pcb-7", "", "A. Kern")
        own = templates.keep(pictures[2], "of B.png", "PCB-7", "B", "A. Kern")

        def name(number: str, revision: str = "") -> str | None:
            found = templates.template_for({"part_number": number, "part_revision": revision})
            return found.name if found else None

        assert [one.name for one in templates.all()] == ["second.png", "of B.png"]
        assert (name("Pcb-7"), name("PCB-7", "b"), name("PCB-7", "C")) == (
            "second.png",
            "of B.png",
            "second.png",
        )
        assert name("PCB-70") is None and templates.template_for({}) is None
        templates.remove(own.id, "B. Roth")
        assert name("PCB-7", "B") == "second.png"
        with pytest.raises(NotFound, match="removed or replaced"):
            templates.remove(own.id, "B. Roth")
        assert [(one.kind, one.by) for one in templates.log(2)] == [
            ("removed", "B. Roth"),
            ("kept", "A. Kern"),
        ]
        with pytest.raises(BadTemplate, match="part number"):
            templates.keep(pictures[0], "x.png", "", "", "A. Kern")
        assert verify(store).ok
    with closing(Store(tmp_path / "instance")) as store:  # a restart forgets nothing
        assert [one.name for one in PartTemplates(store).all()] == ["second.png"]


def test_capitals_of_a_part_number_do_not_matter_as_far_as_the_database_knows_them(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "instance")) as store:
        templates = PartTemplates(store)

        def name(number: str) -> str | None:
            found = templates.template_for({"part_number": number})
            return found.name if found else None

        for seed, number in enumerate(("STÜCK-1", "stück-1", "part-1", "PART-1")):
            templates.keep(encoded(board(seed=seed)), f"of {number}", number, "", "A. Kern")
        assert [one.name for one in templates.all()] == ["of PART-1", "of STÜCK-1", "of stück-1"]
        assert name("Part-1") == "of PART-1" and name("stÜck-1") == name("STÜCK-1") == "of STÜCK-1"
        templates.remove(templates.of_part("stück-1")[0].id, "B. Roth")
        assert [one.name for one in templates.all()] == ["of PART-1", "of STÜCK-1"]
        assert (name("STÜCK-1"), name("stück-1")) == ("of STÜCK-1", None)


def test_an_altered_or_lost_picture_is_never_compared_with(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "instance")) as store:
        templates = PartTemplates(store)
        kept = templates.keep(encoded(board(VIA)), "good.png", "PCB-7", "", "A. Kern")
        picture = templates.picture(kept.id)
        assert templates.template_for({"part_number": "PCB-7"}), "decoded and remembered"
        picture.write_bytes(encoded(board(FLAW)))
        with pytest.raises(LostTemplate, match="gone or was altered"):
            templates.template_for({"part_number": "PCB-7"})
        assert [one.text for one in verify(store).findings] == [
            "Change of templates 1: the file good.png was altered."
        ]
        with pytest.raises(LostTemplate):
            templates.picture(kept.id)
        picture.unlink()
        assert [one.kind for one in verify(store).findings] == ["file_missing"]
        with pytest.raises(LostTemplate, match="gone or was altered"):
            templates.template_for({"part_number": "PCB-7"})


# --- in use -----------------------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(settings_in(tmp_path), Inspector(TinyEngine(COMPARING)))
    yield app
    close(app)


def keep(client: FlaskClient, pixels: Picture, **fields: str) -> int:
    # The tiny model takes holes for defects, here as on any part.
    sent = post_file(client, "/api/v1/templates", encoded(pixels), "good.png", anyway="1", **fields)
    return sent.status_code


def test_parts_of_a_number_are_held_against_its_template(client: FlaskClient) -> None:
    part = encoded(board(VIA))

    def verdict(**fields: str) -> str:
        answer = post_file(client, "/api/v1/inspections", part, "part.png", **fields).get_json()
        held = answer["method"].get("template")
        assert (held is not None) == ("compare" in answer["timing_ms"])
        return f"{answer['verdict']} {held['name'] if held else '-'}"

    assert keep(client, board(VIA), part_number="PCB-7") == 201
    assert verdict(part_number="pcb-7") == "accept good.png"
    assert verdict(part_number="PCB-8") == verdict() == "reject -"
    (one,) = client.get("/api/v1/templates").get_json()["templates"]
    assert client.get(one["picture"]).mimetype == "image/png"
    assert client.delete(f"/api/v1/templates/{one['id']}").status_code == 204
    assert verdict(part_number="PCB-7") == "reject -"


def test_page_report_and_spreadsheet_say_what_a_part_was_held_against(client: FlaskClient) -> None:
    keep(client, board(VIA), part_number="PCB-7")
    part = encoded(board(VIA, FLAW))
    answer = post_file(client, "/api/v1/inspections", part, "part.png", part_number="PCB-7").get_json()
    page = client.get(answer["links"]["page"]).text
    assert "good.png (places that differ: 1, boxed: 1)" in page
    assert answer["method"]["template"]["sha256"] in page
    assert client.get(f"/inspections/{answer['id']}/template").mimetype == "image/png"
    pdf = PdfReader(BytesIO(client.get(answer["links"]["pdf"]).data))
    text = "".join(sheet.extract_text() for sheet in pdf.pages)
    assert "good.png (places that differ: 1, boxed: 1)" in text
    alone = post_file(client, "/api/v1/inspections", part, "part.png").get_json()
    assert client.get(f"/inspections/{alone['id']}/template").status_code == 404
    exported = client.get("/history/history.csv?order=oldest").data.decode("utf-8-sig")
    assert [row["template"] for row in csv.DictReader(StringIO(exported))] == ["good.png", ""]


def test_a_golden_part_is_checked_against_the_template_it_was_held_against(
    client: FlaskClient, app: Flask
) -> None:
    golden = app.extensions["flawsight"].golden
    keep(client, board(VIA), part_number="PCB-7")
    part = post_file(client, "/api/v1/inspections", encoded(board(VIA)), "part.png", part_number="PCB-7")
    form = {"inspection": part.get_json()["number"], "verdict": "accept"}
    (one,) = client.get("/api/v1/templates").get_json()["templates"]
    client.delete(f"/api/v1/templates/{one['id']}")  # its picture stays
    added = client.post("/api/v1/trust/golden/parts", data=form).get_json()
    assert (added["template"], added["comes_out"]["passed"]) == ("good.png", True)
    inspect = golden_inspect(app.extensions["flawsight"])
    assert golden.check(golden.checks.begin("golden", "A. Kern"), inspect).passed
    photo = post_file(
        client, f"/api/v1/trust/golden/parts/{added['id']}/photos", encoded(board(VIA) + 1), "x.png"
    )
    assert photo.get_json()["passed"]
    assert "Held against the template good.png" in client.get("/trust/golden").text
    assert verify(golden.store).ok
    PartTemplates(golden.store).file(one["image_sha256"]).unlink()
    lost = golden.check(golden.checks.begin("golden", "A. Kern"), inspect)
    assert "is gone or was altered" in lost.result["parts"][0]["error"]


def test_a_wrong_part_is_told_by_page_and_report(client: FlaskClient) -> None:
    keep(client, np.ascontiguousarray(board(VIA, FLAW)[::-1, ::-1]), part_number="PCB-7")
    part = encoded(board(VIA))
    answer = post_file(client, "/api/v1/inspections", part, "part.png", part_number="PCB-7").get_json()
    assert answer["verdict"] == "unknown"
    page = client.get(answer["links"]["page"]).text
    assert "Not the part that its template shows" in page and "times the limit" not in page
    pdf = PdfReader(BytesIO(client.get(answer["links"]["pdf"]).data))
    assert "not the part that its template" in " ".join(pdf.pages[0].extract_text().split())


def test_the_page_keeps_shows_and_removes_a_template(client: FlaskClient) -> None:
    assert "every part is judged by its picture alone" in client.get("/templates").text
    sent = post_file(
        client, "/templates", encoded(board(VIA)), "good.png", csrf_token=token(client),
        part_number="PCB-7", part_revision="C", anyway="1",
    )  # fmt: skip
    assert sent.status_code == 303
    page = client.get("/templates").text
    assert "PCB-7 C are compared with good.png" in page and "Revision C" in page
    assert client.get("/templates/1/picture").status_code == 200
    gone = client.post("/templates/1/remove", data={"csrf_token": token(client)})
    assert gone.status_code == 303 and "Removed good.png of PCB-7 C" in client.get("/templates").text
    again = client.post("/templates/1/remove", data={"csrf_token": token(client)})
    assert again.status_code == 404 and "removed or replaced" in again.text


def test_what_can_be_no_template_is_refused_with_the_reason(client: FlaskClient) -> None:
    sent = post_file(client, "/api/v1/templates", b"no picture", "x.png", part_number="PCB-7")
    assert (sent.status_code, sent.get_json()["code"]) == (415, "not_an_image")
    sent = post_file(client, "/api/v1/templates", encoded(board()), "x.png")
    assert (sent.status_code, sent.get_json()["code"]) == (400, "bad_template")
    form = {"csrf_token": token(client), "part_number": "PCB-7"}
    sent = post_file(client, "/templates", b"no picture", "x.png", **form)
    assert sent.status_code == 415 and 'value="PCB-7"' in sent.text  # what was typed is still there
    for fields, said in (
        ({"part_number": "P" * 100}, "Shorten it"),
        ({"part_number": "PCB-7", "inspection": "INSP-2026-000001"}, "no such inspection"),
        ({"part_number": "PCB-7", "revision": "C"}, "no parameter"),
    ):
        sent = post_file(client, "/api/v1/templates", encoded(board()), "x.png", **fields)
        assert sent.status_code in (400, 404) and said in sent.get_json()["detail"], fields
    blank = encoded(np.full((64, 64, 3), 255, np.uint8))
    sent = post_file(client, "/templates", blank, "x.png", **form)
    assert sent.status_code == 400 and "nothing on it to compare" in sent.text
    sent = client.post("/templates", data={**form, "part_number": "P" * 100})
    assert sent.status_code == 400 and "Shorten it" in sent.text and "Templates" in sent.text
    assert client.get("/api/v1/templates").get_json() == {"templates": [], "changes": []}


def test_a_picture_with_a_defect_becomes_a_template_only_if_a_person_says_that_it_is_good(
    client: FlaskClient,
) -> None:
    form = {"csrf_token": token(client), "part_number": "PCB-7"}
    refused = post_file(client, "/templates", encoded(board(FLAW)), "bad.png", **form)
    assert refused.status_code == 400 and "The model finds a defect on this picture" in refused.text
    assert 'name="anyway"' in refused.text and 'value="PCB-7"' in refused.text
    sent = post_file(client, "/api/v1/templates", encoded(board(FLAW)), "bad.png", part_number="PCB-7")
    assert sent.get_json()["code"] == "doubtful_template"
    assert client.get("/api/v1/templates").get_json()["templates"] == []
    assert "anyway" not in client.get("/templates").text
    assert (
        post_file(client, "/templates", encoded(board(FLAW)), "bad.png", anyway="1", **form).status_code
        == 303
    )


def test_a_lost_picture_is_told_wherever_it_would_be_shown(client: FlaskClient, app: Flask) -> None:
    keep(client, board(VIA), part_number="PCB-7")
    part = encoded(board(VIA))
    answer = post_file(client, "/api/v1/inspections", part, "part.png", part_number="PCB-7").get_json()
    app.extensions["flawsight"].fleet.templates.picture(1).write_bytes(encoded(board(FLAW)))
    assert "gone or was altered, so it cannot be shown" in client.get(answer["links"]["page"]).text
    assert "so these parts cannot be inspected" in client.get("/templates").text
    for address in ("/api/v1/templates/1/picture", f"/inspections/{answer['id']}/template"):
        assert client.get(address).status_code == 409
    refused = client.get("/api/v1/templates/1/picture").get_json()
    assert refused["code"] == "template_lost" and "/" not in refused["detail"]
    again = post_file(client, "/api/v1/inspections", part, "part.png", part_number="PCB-7")
    assert (again.status_code, again.get_json()["code"]) == (409, "template_lost")


def test_the_photo_of_an_inspection_becomes_a_template_unless_it_was_lost(
    client: FlaskClient, app: Flask
) -> None:
    part = encoded(board())
    answer = post_file(
        client, "/api/v1/inspections", part, "part.png", part_number="PCB-7", part_revision="C"
    ).get_json()
    address = f"/templates?inspection={answer['number']}"
    assert address in client.get(answer["links"]["page"]).text
    page = client.get(address).text
    assert 'value="PCB-7"' in page and f"the photo of inspection {answer['number']}" in page
    form = {"csrf_token": token(client), "part_number": "PCB-7", "inspection": answer["number"]}
    for said in ("PCB-7 are compared with part.png from now on.", "It takes the place of part.png."):
        assert client.post("/templates", data=form).status_code == 303
        assert said in client.get("/templates").text
    (one,) = client.get("/api/v1/templates").get_json()["templates"]
    assert one["image_sha256"] == answer["image"]["sha256"]
    (app.extensions["flawsight"].store.folder / answer["id"] / "upload.bin").unlink()
    lost = client.post("/api/v1/templates", data={"part_number": "PCB-8", "inspection": answer["number"]})
    assert lost.status_code == 503 and answer["number"] in lost.get_json()["detail"]


def test_the_bench_says_what_a_part_is_compared_with(client: FlaskClient) -> None:
    keep(client, board(VIA), part_number="PCB-7", part_revision="C")

    def note(**fields: str) -> str:
        return client.get("/bench/lot", query_string=fields).text

    assert "Compared with the template good.png." in note(part_number="pcb-7", part_revision="c")
    assert "a template of revision C alone" in note(part_number="PCB-7")
    assert "emplate" not in note(part_number="PCB-8") and "emplate" not in note()


def test_operators_keep_no_templates(app: Flask, tmp_path: Path) -> None:
    accounts = Accounts(app.extensions["flawsight"].store)
    accounts.add("anna", "admin", "a long pass phrase")
    accounts.add("ola", "operator", "a long pass phrase")
    accounts.add("ida", "inspector", "a long pass phrase")
    for name, status in (("ola", 403), ("ida", 201)):
        headers = {"Authorization": f"Bearer {accounts.add_token(name, 'test')}"}
        sent = post_file(
            app.test_client(), "/api/v1/templates", encoded(board()), "good.png", headers, part_number="PCB-7"
        )
        assert sent.status_code == status


def test_a_model_that_cannot_compare_inspects_parts_without_their_templates(tmp_path: Path) -> None:
    able = create_app(settings_in(tmp_path), Inspector(TinyEngine(COMPARING)))
    keep(able.test_client(), board(VIA), part_number="PCB-7")
    close(able)
    app = create_app(settings_in(tmp_path), Inspector(TinyEngine(), DECISION))
    client = app.test_client()
    part = encoded(board(VIA))
    answer = post_file(client, "/api/v1/inspections", part, "part.png", part_number="PCB-7").get_json()
    assert answer["verdict"] == "reject" and "template" not in answer["method"]
    assert (
        "This model cannot compare and inspects parts without their templates: tiny 1."
        in client.get("/templates").text
    )
    sent = post_file(client, "/api/v1/templates", part, "x.png", part_number="PCB-8")
    assert (sent.status_code, sent.get_json()["code"]) == (400, "bad_template")
    close(app)


def test_a_lost_template_does_not_hinder_a_model_that_cannot_compare(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    templates, part = app.extensions["flawsight"].fleet.templates, encoded(board(VIA))
    templates.file(templates.keep(part, "good.png", "PCB-7", "", "A. Kern").image_sha256).unlink()
    answer = post_file(app.test_client(), "/api/v1/inspections", part, "part.png", part_number="PCB-7")
    assert answer.status_code == 201 and "template" not in answer.get_json()["method"]
    close(app)


def test_the_command_line_holds_a_folder_against_a_template(tmp_path: Path) -> None:
    model, template, parts = tmp_path / "m.onnx", tmp_path / "good.png", tmp_path / "parts"
    model.write_bytes(tiny_onnx({ONNX_KEY: COMPARING.to_json(), HEAD_KEY: HEAD.to_text()}))
    template.write_bytes(encoded(board(VIA)))
    parts.mkdir()
    (parts / "good.png").write_bytes(encoded(board(VIA, seed=9)))
    (parts / "flawed.png").write_bytes(encoded(board(VIA, FLAW)))
    command = ["inspect", str(parts), "--model", str(model)]
    held = CliRunner().invoke(main, [*command, "--template", str(template)])
    assert held.exit_code == 0 and "2 images: 1 reject, 1 accept" in held.stderr
    assert "2 images: 2 reject" in CliRunner().invoke(main, command).stderr
    gone = CliRunner().invoke(main, [*command, "--template", str(tmp_path / "no.png")])
    assert gone.exit_code != 0 and "no.png" in gone.output
