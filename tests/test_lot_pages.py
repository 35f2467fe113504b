"""Lots on the page, for programs, and on paper."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO, StringIO
from pathlib import Path

import catalogs
import pytest
from factories import make_inspection, make_pictures
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import update
from web_client import close, encoded, post_file, surface, tiny_app, token

from flawsight.i18n import gettext, speaking
from flawsight.inspection.result import Box, ModelInfo
from flawsight.records import Accounts, Store
from flawsight.records.assessment import Assessment, Part
from flawsight.records.lot import DECISIONS, STATES, BadLot, Disposal, Lot, LotFilter, Terms
from flawsight.records.lots import Lots
from flawsight.records.retention import Retention, Rule
from flawsight.records.reviews import Answer, ReviewBox, Reviews
from flawsight.records.tables import ReviewRow
from flawsight.reporting.lot_report import build_lot_report
from flawsight.reporting.ncr import build_ncr

LIMITS = {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}  # 5 parts of 90, level I
FORM = {"number": "L-1", "size": "90", "level": "I", "part_number": "P-7", "by": "Olga", "drawn": "random"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = tiny_app(tmp_path_factory.mktemp("lots"))
    yield app
    close(app)


@pytest.fixture(scope="module")
def store(app: Flask) -> Store:
    store = app.extensions["flawsight"].store
    assert isinstance(store, Store)
    return store


@pytest.fixture(scope="module")
def lots(store: Store) -> Lots:
    return Lots(store)


def file(store: Store, lot: str, verdict: str, class_id: str | None = None, serial: str = "") -> str:
    made = make_inspection(verdict, class_id, width=64, height=48, boxes=(), upload=f"{lot}{serial}".encode())
    return store.add(
        made, b"upload", make_pictures(made), {"lot": lot, "serial": serial, "part_number": "P-7"}
    ).id


def opened(lots: Lots, number: str, verdicts: tuple[str, ...] = (), **values: str) -> Lot:
    """An open lot with one part a verdict, or a class of defect."""
    lot = lots.open(Terms(number, 90, "I", LIMITS, "P-7", "C", **values), "Olga")
    for index, said in enumerate(verdicts):
        known = said in ("accept", "review", "unknown")
        file(lots.store, number, said if known else "reject", None if known else said, f"{number}/{index}")
    return lot


def rejected(lots: Lots, number: str) -> Lot:
    lot = opened(lots, number, ("accept", "MT_Fray", "review", "PCB_open", "accept"))
    return lots.close(lot.id, "reject", "Ines", "An open track\nand a frayed edge.")


def pdf_text(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(content)).pages)


# --- pages ----------------------------------------------------------------------------------------------


def test_the_story_of_a_lot_from_the_form_to_the_disposition(client: FlaskClient, lots: Lots) -> None:
    csrf = token(client)
    made = client.post("/lots", data={**FORM, "number": "Story", "csrf_token": csrf})
    assert made.status_code == 303
    address = made.headers["Location"]
    page = client.get(address).text
    assert "Not decided yet" in page and "5 parts to go." in page and "Nothing was inspected yet" in page

    bench = client.post(f"{address}/inspect", data={"csrf_token": csrf})
    assert bench.headers["Location"] == "/"
    start = client.get("/").text
    assert re.search(r'name="lot" value="Story"', start) and re.search(
        r'name="part_number" value="P-7"', start
    )
    assert f'href="{address}"' in start  # the bench says into which lot its parts go

    for index in range(5):
        pixels = surface(160 + index)
        assert (
            post_file(client, "/api/v1/inspections", encoded(pixels), "a.png", lot="story").status_code == 201
        )
    page = client.get(address).text
    assert "The plans accept it" in page and "5 of 5 parts" in page and page.count("/thumbnail") == 5

    client.post(f"{address}/close", data={"decision": "accept", "by": "Ines", "csrf_token": csrf})
    sent = {
        "disposition": "accept",
        "rationale": "Within limits.",
        "by": "Ines",
        "seen": "2",
        "csrf_token": csrf,
    }
    assert client.post(f"{address}/dispose", data=sent).status_code == 303
    page = client.get(address).text
    assert "ACCEPTED" in page and "Within limits." in page and "Inspect into this lot" not in page
    assert "Story" not in client.get("/").text.split('id="open-lots"')[1].split("</datalist>")[0]


def test_the_plan_is_shown_before_the_lot_is_opened(client: FlaskClient, lots: Lots) -> None:
    before = lots.count(LotFilter())
    assert "Say how large the lot is" in client.get("/lots/new").text
    sent = {**FORM, "number": "", "limit_major": "0.65", "csrf_token": token(client)}
    page = client.post("/lots/new", data=sent).text  # the button of a browser without scripts
    assert 'value="P-7"' in page and 'value="0.65" selected' in page
    part = client.get("/lots/plan?size=90&level=I&limit_major=0.65").text
    assert "<html" not in part and part.strip() in page
    row = re.search(r"Major<span[^>]*>AQL 0.65 · letter F</span>(.*)", part)
    assert row and re.findall(r'"number">(\d+)', row[1]) == ["20", "0", "1"]
    assert "20 parts of the lot are to be inspected." in part
    assert "A lot has 1 to" in client.get("/lots/plan?size=0").text
    assert "whole number of parts" in client.get("/lots/plan?size=many").text
    assert "no AQL &#39;3&#39;" in client.get("/lots/plan?size=90&limit_major=3").text
    assert lots.count(LotFilter()) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"number": " "}, "Give the lot its number"),
        ({"size": "many"}, "whole number of parts"),
        ({"size": "0"}, "A lot has 1 to"),
        ({"by": ""}, "Say who does this"),
        ({"limit_major": "3"}, "no AQL &#39;3&#39;"),
    ],
)
def test_a_form_that_cannot_be_meant_comes_back_filled_in(
    client: FlaskClient, wrong: dict[str, str], message: str
) -> None:
    answer = client.post("/lots", data={**FORM, **wrong, "csrf_token": token(client)})
    assert answer.status_code == 400 and message in answer.text
    assert 'value="P-7"' in answer.text


def test_a_result_leads_to_the_lot_it_was_filed_into(client: FlaskClient, lots: Lots) -> None:
    inside = file(lots.store, opened(lots, "Linked").terms.number, "accept")
    lot = lots.of_inspection(inside)
    assert lot is not None and lot.terms.number == "Linked"
    lots.close(lot.id, "withdraw", "Ines", "Wrong drawing.")
    outside = file(lots.store, "Linked", "accept", serial="late")
    page = client.get(f"/inspections/{inside}").text
    assert f'<a href="/lots/{lot.id}">Linked</a> <span class="tag">Withdrawn</span>' in page
    assert lots.of_inspection(outside) is None  # it names the lot, but came after its closing
    page = client.get(f"/inspections/{outside}").text
    assert "<dd>Linked</dd>" in page and f"/lots/{lot.id}" not in page


def test_the_page_says_what_holds_the_decision_up(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Held", ("review", "accept", "accept", "accept", "accept"))
    page = client.get(f"/lots/{lot.id}").text
    assert "1 part is undecided and holds the decision up" in page
    assert re.search(r'value="accept" required disabled', page)
    undecided = client.get(f"/lots/{lot.id}?show=undecided").text
    assert undecided.count("/thumbnail") == 1 and "/review/" in undecided
    assert client.get(f"/lots/{lot.id}?show=nonsense&from=-9").text.count("/thumbnail") == 5


def test_a_complete_sample_that_rejects_has_no_rest(client: FlaskClient, lots: Lots) -> None:
    early = opened(lots, "Early", ("PCB_open",))
    assert "the rest of the sample cannot save the lot" in client.get(f"/lots/{early.id}").text
    whole = opened(lots, "Whole", ("PCB_open", "accept", "accept", "accept", "review"))
    page = client.get(f"/lots/{whole.id}").text
    assert "The sample is complete and a rejection number is reached." in page
    assert "the rest of the sample" not in page


def test_the_page_can_tell_whether_it_is_up_to_date(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Live", ("review",))

    def asked() -> tuple[str, bool]:
        answer = client.get(f"/lots/{lot.id}/mark")
        assert answer.json is not None and answer.headers["Cache-Control"] == "no-store"
        return answer.json["mark"], answer.json["open"]

    page = client.get(f"/lots/{lot.id}?show=undecided&lot_id=9").text
    seen = [asked()]
    assert f'data-mark="{seen[0][0]}"' in page and f'data-page="/lots/{lot.id}?show=undecided"' in page
    assert asked() == seen[0]
    part = file(lots.store, "Live", "accept", serial="2")
    seen.append(asked())
    Reviews(lots.store).add(part, Answer("A. Kern", "accept", "MT_Free"))
    seen.append(asked())
    file(lots.store, "Another", "accept")
    assert asked() == seen[-1]
    lots.close(lot.id, "withdraw", "Ines", "Wrong drawing.")
    seen.append(asked())
    assert len({mark for mark, _ in seen}) == 4 and [is_open for _, is_open in seen] == [
        True,
        True,
        True,
        False,
    ]
    assert "data-mark" not in client.get(f"/lots/{lot.id}").text
    assert client.get("/lots/987654/mark").status_code == 404


def test_a_refused_decision_says_why_and_keeps_what_was_written(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Refused")
    sent = {"decision": "accept", "rationale": "In a hurry.", "by": "Ines", "csrf_token": token(client)}
    answer = client.post(f"/lots/{lot.id}/close", data=sent)
    assert answer.status_code == 400
    assert "Still to inspect: 5, still to decide: 0" in answer.text and "In a hurry." in answer.text
    early = client.post(f"/lots/{lot.id}/dispose", data={**sent, "disposition": "sort"})
    assert early.status_code == 409 and "still open" in early.text


def test_a_disposition_on_an_outdated_page_is_refused(client: FlaskClient, lots: Lots) -> None:
    lot = rejected(lots, "Outdated")
    lots.dispose(lot.id, Disposal("sort", "All of them."), "Ada")
    sent = {"disposition": "rework", "rationale": "x", "by": "Ines", "seen": "2", "csrf_token": token(client)}
    answer = client.post(f"/lots/{lot.id}/dispose", data=sent)
    assert answer.status_code == 409 and "Ada has disposed of this lot meanwhile: sort" in answer.text


def test_lots_are_listed_filtered_and_paged(
    client: FlaskClient, lots: Lots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.web.lots.PAGE", 2)
    ids = [opened(lots, f"Page-{index}", supplier="Acme").id for index in range(3)]
    found = client.get("/lots?q=acme&state=&part=")
    assert found.headers["Location"] == "/lots?q=acme"
    first = client.get("/lots?q=acme").text
    assert "3 lots" in first and "Page-2" in first and "Page-0" not in first
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older and older[1] == f"/lots?q=acme&amp;after={ids[1]}"
    assert "Page-0" in client.get(older[1].replace("&amp;", "&")).text
    assert "Nothing matches" in client.get("/lots?q=nowhere").text
    assert client.get("/lots?state=lost").status_code == 400
    assert client.get("/lots?after=x").status_code == 400


def test_the_trend_names_lots_outside_their_limits_and_says_when_they_are_few(
    client: FlaskClient, lots: Lots
) -> None:
    assert "needs at least two closed lots" in client.get("/lots/trend?part=none").text
    for number in ("T-1", "T-2", "T-3"):
        lot = lots.open(Terms(number, 90, "I", LIMITS, "Trend"), "Olga")
        for index in range(20):
            file(
                lots.store, number, "reject" if number == "T-3" and index < 9 else "accept", serial=str(index)
            )
        lots.close(lot.id, lots.assess(lot).figures.decision, "Ines", "Marked P-7, all of one kind.")
    page = client.get("/lots/trend?part=Trend").text
    assert "3 lots are few" in page and "1 lot lies outside its limits: T-3." in page
    assert page.count('class="point outside"') == 1 and "45.0\N{NO-BREAK SPACE}%" in page
    chart = client.get("/api/v1/lots/trend?part=Trend").json
    assert chart is not None
    assert chart["centre"] == 0.15 and [lot["outside"] for lot in chart["lots"]] == [None, None, "above"]


def test_parts_of_another_number_are_said_before_and_after_a_lot_is_accepted(
    client: FlaskClient, lots: Lots
) -> None:
    lot = lots.open(Terms("MIX-1", 2, "I", LIMITS, "P-9"), "Olga")
    for serial in ("1", "2"):
        file(lots.store, "MIX-1", "accept", serial=serial)
    bench = client.get("/bench/lot?lot=MIX-1&part_number=P-7").text
    assert "Lot MIX-1 is of another part." in bench and "It is of part P-9." in bench
    assert "of another part" not in client.get("/bench/lot?lot=MIX-1&part_number=p-9").text
    with pytest.raises(BadLot, match=r"another part number: P-7\. Say in the rationale"):
        lots.close(lot.id, "accept", "Ines")
    lots.close(lot.id, "accept", "Ines", "P-7 is the number of P-9 before it was renamed.")
    assert "Some parts carry another part number: P-7." in client.get(f"/lots/{lot.id}").text
    report = pdf_text(client.get(f"/lots/{lot.id}/report.pdf").data)
    assert "Some parts carry another part number: P-7." in report
    table = client.get(f"/lots/{lot.id}/lot.csv").data.decode("utf-8-sig")
    assert [row["part_number"] for row in csv.DictReader(StringIO(table))] == ["P-7", "P-7"]


def test_the_trend_names_its_lots_and_says_what_n_leaves_out(client: FlaskClient, lots: Lots) -> None:
    for index in range(9):
        number = f"Axis-{index}" + "-with-a-long-tail" * (index == 8)
        lot = lots.open(Terms(number, 90, "I", LIMITS, "Axis"), "Olga")
        file(lots.store, number, "accept", serial="1")
        file(lots.store, number, "review", serial="2")
        lots.close(lot.id, "reject", "Ines", "For the chart.")
    page = client.get("/lots/trend?part=Axis").text
    assert page.count('class="tick"') == 9
    named = re.findall(r'text-anchor="middle">([^<]+)<title>([^<]+)</title>', page)
    assert [full[:6] for _, full in named] == ["Axis-0", "Axis-2", "Axis-4", "Axis-6", "Axis-8"]
    assert named[0] == ("Axis-0", "Axis-0")
    assert named[-1] == ("Axis-8-with…", "Axis-8-with-a-long-tail")
    assert "n counts decided parts only; 9 parts still undecided" in page and "+1 undecided" in page
    chart = client.get("/api/v1/lots/trend?part=Axis").json
    assert chart is not None and [lot["undecided"] for lot in chart["lots"]] == [1] * 9
    assert "n counts decided parts only" not in client.get("/lots/trend?part=Trend").text


def test_a_lot_is_saved_as_csv_and_json(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "=cmd", ("accept", "MT_Fray"))
    lines = list(csv.DictReader(StringIO(client.get(f"/lots/{lot.id}/lot.csv").text.lstrip("\ufeff"))))
    assert [(line["lot"], line["state"], line["defects"]) for line in lines] == [
        ("'=cmd", "good", ""), ("'=cmd", "nonconforming", "MT_Fray"),
    ]  # fmt: skip
    links = (client.get(f"/api/v1/lots/{lot.id}").json or {})["links"]
    assert client.get(links["csv"]).text == client.get(f"/lots/{lot.id}/lot.csv").text
    assert client.get(links["csv"]).mimetype == "text/csv" and links["csv"].startswith("/api/v1/")
    saved = client.get(f"/lots/{lot.id}/lot.json").json
    assert saved and saved["schema"] == "flawsight.lot/1" and saved["figures"]["nonconforming"] == 1
    assert [part["state"] for part in saved["parts"]] == ["good", "nonconforming"]


# --- for programs ---------------------------------------------------------------------------------------


def test_programs_open_read_close_and_dispose(client: FlaskClient, store: Store) -> None:
    sent = {"number": "API-1", "size": 90, "level": "I", "limits": {"major": "2.5"}, "by": "line 3"}
    made = client.post("/api/v1/lots", json=sent)
    assert made.status_code == 201 and made.json
    address = made.headers["Location"]
    assert made.json["state"] == "open" and made.json["limits"]["critical"] == "none"
    file(store, "API-1", "reject", "MT_Fray", "1")
    read = client.get(address).json
    assert read and read["figures"]["decision"] == "reject" and len(read["parts"]) == 1
    assert client.post(f"{address}/decision", json={"decision": "accept", "by": "Ines"}).status_code == 400
    closed = client.post(f"{address}/decision", json={"decision": "reject", "by": "Ines"}).json
    assert closed and closed["state"] == "rejected" and closed["events"][1]["by"] == "Ines"
    again = client.post(f"{address}/decision", json={"decision": "reject", "by": "Ada"})
    assert again.status_code == 409 and "Ines has closed this lot already" in again.text
    sent = {"disposition": "rework", "rationale": "Deburr.", "by": "Ines"}
    assert client.post(f"{address}/disposition", json=sent).json["events"][2]["decision"] == "rework"
    listed = client.get("/api/v1/lots?q=api-&state=rejected").json
    assert listed and listed["count"] == 1 and listed["lots"][0]["links"]["self"] == address
    assert client.get(f"{address}/report.pdf").data.startswith(b"%PDF")
    assert client.get(f"{address}/ncr.pdf").data.startswith(b"%PDF")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"number": "X"}, "whole number"),
        ({"number": "X", "size": True}, "whole number"),
        ({"number": 7, "size": 7}, "everything but the size a text"),
        ({"number": "X", "size": 7, "limits": ["none"]}, "object of texts"),
        ({"number": "X", "size": 7, "limits": {"grave": "1.0"}}, "no severity 'grave'"),
        ({"number": "X", "size": 7, "by": ""}, "Say who"),
        ({"number": "X", "size": 7, "by": None}, "Say who"),
        ({"number": "X", "size": 7, "by": ["x"]}, "Say who"),
    ],
)
def test_what_a_program_cannot_mean_is_refused(
    client: FlaskClient, sent: dict[str, object], message: str
) -> None:
    answer = client.post("/api/v1/lots", json=sent)
    assert answer.status_code == 400 and message in answer.text


def test_half_of_a_sign_decides_on_no_lot(client: FlaskClient, lots: Lots) -> None:
    for lot, place, sent in (
        (opened(lots, "Half open"), "decision", {"decision": "withdraw", "rationale": "cut \ud83d"}),
        (rejected(lots, "Half"), "disposition", {"disposition": "sort", "rationale": "8D \udc00"}),
    ):
        answer = client.post(f"/api/v1/lots/{lot.id}/{place}", json={**sent, "by": "Ada"})
        assert answer.status_code == 400 and "half of a sign" in answer.text
        assert lots.get(lot.id).events == lot.events and client.get(f"/lots/{lot.id}").status_code == 200


def test_an_unknown_lot_is_not_found_however_large_its_number(client: FlaskClient) -> None:
    for number in ("7777", "9" * 30):
        assert client.get(f"/lots/{number}").status_code == 404
        assert client.get(f"/api/v1/lots/{number}").status_code == 404


def test_operators_open_and_inspectors_close(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    accounts = Accounts(app.extensions["flawsight"].store)
    accounts.add("ada", "admin", "a long enough one")
    tokens = {}
    for role in ("operator", "inspector"):
        accounts.add(role, role)
        tokens[role] = {"Authorization": f"Bearer {accounts.add_token(role, 'test')}"}
    client = app.test_client()
    made = client.post("/api/v1/lots", json={"number": "R", "size": 9, "by": "x"}, headers=tokens["operator"])
    address = made.headers["Location"]
    assert made.json["events"][0]["by"] == "operator"  # whoever is signed in, whatever name is sent
    sent = {"decision": "withdraw", "rationale": "Recalled."}
    for door, role, status in [
        ("decision", "operator", 403), ("disposition", "operator", 403), ("decision", "inspector", 200),
    ]:  # fmt: skip
        assert client.post(f"{address}/{door}", json=sent, headers=tokens[role]).status_code == status
    close(app)


# --- on paper -------------------------------------------------------------------------------------------


def test_the_lot_report_says_plan_result_and_who_decided(client: FlaskClient, lots: Lots) -> None:
    lot = rejected(lots, "Paper")
    lots.dispose(lot.id, Disposal("sort", "Sort the whole lot."), "Ada")
    lot = lots.get(lot.id)
    content = client.get(f"/lots/{lot.id}/report.pdf").data
    text = pdf_text(content)
    for said in (
        lot.report_number, "REJECTED", "P-7, C", "90 parts", "general level I", "none allowed", "AQL 2.5",
        "5 of 5 parts of the sample were inspected", "Fray (Major)", "Open (Critical)", "100.0 %",
        "at random from the whole lot", "An open track", "Ada", "Sort the whole lot.",
        f"SHA-256 of the record {lot.sha256}",
        "Page 1 of 2", "Page 2 of 2", "AI-assisted; disposition by the named person", "Undecided",
    ):  # fmt: skip
        assert said in re.sub(r"  +", " ", text), said
    assert client.get(f"/lots/{lot.id}/report.pdf").data == content


def test_the_revision_of_a_lots_reports_counts_what_was_decided_since_its_closing(
    client: FlaskClient, lots: Lots
) -> None:
    def footers(lot: Lot) -> list[str]:
        said = []
        for number, kind in ((lot.report_number, "report"), (lot.ncr_number, "ncr")):
            text = pdf_text(client.get(f"/lots/{lot.id}/{kind}.pdf").data)
            said += set(re.findall(rf"{number} · (interim|revision \d+)", text))
        return said

    assert footers(opened(lots, "Interim", ("reject",))) == ["interim", "interim"]
    lot = rejected(lots, "Revised")
    assert footers(lot) == ["revision 1", "revision 1"]
    lots.dispose(lot.id, Disposal("sort", "Sort the whole lot."), "Ada")
    lots.dispose(lot.id, Disposal("reject", "Back.", "Stock blocked."), "Ada")
    assert footers(lot) == ["revision 3", "revision 3"]


def test_an_interim_report_is_dated_by_the_latest_it_contains(lots: Lots) -> None:
    lot = opened(lots, "Dated", ("MT_Fray", "review"))
    long_ago = lot.opened.created_at - timedelta(days=3)
    lot = replace(lot, events=(replace(lot.opened, created_at=long_ago),))

    def dates() -> set[str]:
        """In the head of both papers and in the description of their files."""
        found = lots.assess(lot)
        papers = [build_lot_report(lot, found, [], lots.store.get), build_ncr(lot, found, lots.store.get)]
        said = {f"{PdfReader(BytesIO(paper)).metadata.creation_date:%F %T}" for paper in papers}  # type: ignore[union-attr]
        return said | {re.findall(r"(\S+ \S+) UTC", pdf_text(paper))[0] for paper in papers}

    last = lots.assess(lot).parts[-1].looks[-1]
    assert dates() == {f"{last.created_at:%F %T}"}
    answer = Reviews(lots.store).add(last.id, Answer("Ada", "reject", "MT_Fray"))
    with lots.store.transaction("write", write=True) as session:
        later = answer.created_at + timedelta(minutes=5)
        session.execute(update(ReviewRow).where(ReviewRow.inspection_id == last.id).values(created_at=later))
    assert dates() == {f"{later:%F %T}"}


def test_the_ncr_fills_in_what_is_known_and_never_a_cause(client: FlaskClient, lots: Lots) -> None:
    lot = rejected(lots, "NCR")
    text = pdf_text(client.get(f"/lots/{lot.id}/ncr.pdf").data)
    for said in (
        lot.ncr_number, "Requirement violated", "Critical: no such part is allowed; 1 found",
        "Major: at most 0 of 5 parts allowed (AQL 2.5", "2 of 5 parts inspected; lot of 90", "1 part:",
        "On closing, Ines wrote: An open track", "Cause: not established by this report",
        "Containment", "Sign-off",
    ):  # fmt: skip
        assert said in text, said
    assert "Likely" not in text
    lots.dispose(lot.id, Disposal("reject", "Back.", "Stock blocked.", "8D-17"), "Ada")
    text = pdf_text(client.get(f"/lots/{lot.id}/ncr.pdf").data)
    assert "Stock blocked." in text and "8D-17" in text


def test_a_nonconformance_is_detected_by_who_inspected_or_rejected_its_parts(
    client: FlaskClient, lots: Lots
) -> None:
    def detected_by(lot: Lot) -> str:
        text = " ".join(pdf_text(client.get(f"/lots/{lot.id}/ncr.pdf").data).split())
        return text.split("Detected by ")[1].split(" Requirement violated")[0]

    lot = opened(lots, "Detected")
    for index, (verdict, inspector) in enumerate([
        ("reject", "Mia"), ("review", "Mia"), ("reject", "Noor"), ("reject", "Pia"), ("accept", "Otto"),
    ]):  # fmt: skip
        made = make_inspection(verdict, width=64, height=48, boxes=(), upload=f"found {index}".encode())
        known = {"lot": "Detected", "serial": f"found {index}", "inspector": inspector}
        lots.store.add(made, b"upload", make_pictures(made), known)
    looks = [part.looks[0] for part in lots.assess(lot).parts]
    reviews = Reviews(lots.store)
    reviews.add(looks[1].id, Answer("Ada", "reject", "MT_Fray"))  # which the model had left undecided
    reviews.add(looks[2].id, Answer("Ben", "reject", "MT_Crack"))  # as the model said
    reviews.add(looks[3].id, Answer("Cem", "accept", "MT_Free"))  # and so nonconforming no longer
    said = "Ada, Mia, Noor, Ben, with the model; answers of persons count first"
    assert said in detected_by(lot)
    lots.close(lot.id, "reject", "Ines", "Cracks.")
    assert said in detected_by(lots.get(lot.id))
    assert "The model; nobody was named who inspected these parts" in detected_by(rejected(lots, "Nobody"))
    good = opened(lots, "Against", ("accept",))
    lots.close(good.id, "reject", "Ines", "A wrong label.")
    assert "Ines, with the model" in detected_by(good)


def test_the_boxes_that_a_person_drew_are_drawn_in_the_ncr_as_well(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Drawn", ("review", "MT_Fray"))
    left = lots.assess(lot).parts[0].looks[0]

    def paper() -> tuple[str, bool]:
        """What it says, and whether anything is drawn dashed."""
        pages = PdfReader(BytesIO(client.get(f"/lots/{lot.id}/ncr.pdf").data)).pages
        drawn = any(b"[3 2] 0 d" in page.get_contents().get_data() for page in pages)  # type: ignore[union-attr]
        return " ".join(" ".join(page.extract_text() for page in pages).split()), drawn

    text, dashed = paper()
    assert "Boxes as the model drew them; they show" in text and not dashed
    places = (ReviewBox(5, 6, 20, 24, "MT_Crack"), ReviewBox(30, 8, 50, 40, "MT_Fray"))
    Reviews(lots.store).add(left.id, Answer("Ä. <Kern>", "reject", "MT_Crack", places))
    text, dashed = paper()
    assert "Dashed, P1–P2: drawn by Ä. <Kern>" in text and dashed
    assert "Boxes as the model drew them, dashed ones as a person drew them in a review; they show" in text
    assert re.search(r"\bP1\b.*\bP2\b", text.replace("P1–P2", ""))


def test_a_column_of_serial_numbers_as_rationale_leaves_both_papers_whole(
    client: FlaskClient, lots: Lots
) -> None:
    column = "\n".join(f"SN{number:05}" for number in range(80))
    lot = opened(lots, "Column", ("MT_Fray",))
    lots.close(lot.id, "withdraw", "Ines", column)
    lots.dispose(lot.id, Disposal("reject", column, column, "8D-17"), "Ada")
    for paper in ("report", "ncr"):
        answer = client.get(f"/lots/{lot.id}/{paper}.pdf")
        assert answer.status_code == 200 and "SN00000 / SN00001" in pdf_text(answer.data), paper


def test_without_a_nonconforming_part_there_is_no_ncr(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Clean", ("accept",))
    answer = client.get(f"/lots/{lot.id}/ncr.pdf")
    assert answer.status_code == 409 and "nothing to report" in answer.text
    assert "Non-conformance report" not in client.get(f"/lots/{lot.id}").text


def test_a_sample_that_is_not_random_is_said_to_be_none(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Batch", drawn="other")
    text = pdf_text(client.get(f"/lots/{lot.id}/report.pdf").data)
    assert "not random" in text and "no conclusion" in text and "No part was inspected yet." in text


def test_a_long_lot_report_breaks_into_pages_that_are_numbered(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Long", tuple(["accept"] * 62))
    pages = PdfReader(BytesIO(client.get(f"/lots/{lot.id}/report.pdf").data)).pages
    assert len(pages) >= 3
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page.extract_text()


def test_every_part_without_a_picture_is_a_line_with_serial_and_result(
    client: FlaskClient, lots: Lots
) -> None:
    lot = opened(lots, "Table", tuple(["accept"] * 62 + ["MT_Fray", "review", "accept"]))
    last = [look for part in lots.assess(lot).parts for look in part.looks][-1]
    Reviews(lots.store).add(last.id, Answer("A. Kern", "accept", "MT_Free", disposition="use_as_is"))
    text = pdf_text(client.get(f"/lots/{lot.id}/report.pdf").data)
    lines = re.sub(r"\s+", " ", text.split("without a picture here (5)")[1])
    said = re.findall(r"(INSP-\S+) (Table/\d+) (Good · Tile, good(?: · A. Kern: Use as is)?)", lines)
    assert len(said) == 5 and said[-1][1:] == ("Table/64", "Good · Tile, good · A. Kern: Use as is")
    for index in range(65):
        assert re.search(rf"Table/{index}\b", text)


def test_a_report_of_hundreds_of_parts_stays_short_and_small(lots: Lots) -> None:
    lot = opened(lots, "Hundreds", ("accept",))
    [part] = lots.assess(lot).parts
    looks = [replace(part.looks[0], serial=f"H-{n}", number=f"INSP-2026-{n:06}") for n in range(500)]
    assessment = Assessment(lots.assess(lot).figures, tuple(Part((look,)) for look in looks))
    pdf = build_lot_report(lot, assessment, lots.judged_with(lot), lots.store.get)
    pages = PdfReader(BytesIO(pdf)).pages
    assert len(pages) <= 8 and len(pdf) < 400_000
    assert "INSP-2026-000499 H-499" in re.sub(r"\s+", " ", pages[-1].extract_text())


def test_a_caption_names_every_kind_of_defect_with_its_own_severity(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Kinds")
    kinds = ("PCB_spur", "PCB_short", "PCB_copper", "PCB_mousebite")
    boxes = tuple(Box(5 + 14 * n, 5, 15 + 14 * n, 15, 0.9, kind) for n, kind in enumerate(kinds))
    made = make_inspection("reject", "PCB_short", boxes=boxes, width=64, height=48)
    lots.store.add(made, b"upload", make_pictures(made), {"lot": "Kinds", "serial": "7"})
    for report in ("report", "ncr"):
        text = re.sub(r"\s+", " ", pdf_text(client.get(f"/lots/{lot.id}/{report}.pdf").data))
        assert "Critical: Short Major: Spurious copper, Mouse bite, Spur Serial 7" in text
    page = client.get(f"/lots/{lot.id}").text
    for kinds, severity in (("Short", "Critical"), ("Spurious copper, Mouse bite, Spur", "Major")):
        assert f'<strong>{kinds}</strong><span class="fine">{severity}</span>' in page


def test_the_lot_report_says_by_what_models_and_limits_it_was_judged(client: FlaskClient, lots: Lots) -> None:
    lot = opened(lots, "Method")
    metrics = {"recall": {"value": 0.971, "low": 0.94, "high": 0.989}, "overkill": 0.02}
    models = [ModelInfo("unified", "2026.1", "12" * 32), ModelInfo("unified", "2026.2", "34" * 32)]
    moved = {"accept_below": 0.1, "reject_from": 0.6}
    for index in range(4):
        made = make_inspection("accept", metrics=metrics, width=64, height=48)
        made = replace(made, model=models[index == 3], thresholds=moved if index == 2 else made.thresholds)
        lots.store.add(made, b"upload", make_pictures(made), {"lot": "Method", "serial": str(index)})
    assert [count for _, count in lots.judged_with(lot)] == [2, 1, 1]
    text = re.sub(r"\s+", " ", pdf_text(client.get(f"/lots/{lot.id}/report.pdf").data))
    for said in (
        "unified, version 2026.1 · 2 inspections", "unified, version 2026.1 · 1 inspection",
        "unified, version 2026.2 · 1 inspection", "12" * 32, "34" * 32, "cd" * 32, "ONNX Runtime 1.31 (CPU)",
        "Accepted below 30.0 % probability of a defect, rejected from 70.0 %",
        "Accepted below 10.0 % probability of a defect, rejected from 60.0 %",
        "97.1 % (95 % interval 94.0 % to 98.9 %)", "2.0 % (interval not recorded)",
    ):  # fmt: skip
        assert said in text.replace("\N{NO-BREAK SPACE}", " "), said


def test_the_figures_of_a_lot_are_those_of_its_family_or_said_to_be_of_all(
    client: FlaskClient, lots: Lots
) -> None:
    def rate(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.01, "high": value}

    metrics = {
        "recall": rate(0.988), "overkill": rate(0.02), "review": rate(0.239), "tested": 832,
        "datasets": {"Magnetic Tile": {
            "recall": rate(1.0), "overkill": rate(0.01), "review": rate(0.572), "tested": 166,
        }},
    }  # fmt: skip
    lot = opened(lots, "Families")

    def method_after(verdict: str, class_id: str) -> str:
        made = make_inspection(
            verdict, class_id, metrics=metrics, width=64, height=48, upload=class_id.encode()
        )
        lots.store.add(made, b"upload", make_pictures(made), {"lot": "Families"})
        text = pdf_text(client.get(f"/lots/{lot.id}/report.pdf").data)
        return " ".join(text.split("Method")[1].split())

    for verdict, class_id in (("accept", "MT_Free"), ("reject", "MT_Crack"), ("unknown", "PCB_open")):
        said = method_after(verdict, class_id)
    assert "3 inspections" in said and "Validated on Magnetic Tile, 166 test pictures" in said
    assert "Validated recall 100.0 %" in said and "Left to a person 57.2 %" in said
    said = method_after("reject", "PCB_short")
    assert "4 inspections" in said and "Validated on all families, 832 test pictures" in said
    assert "Validated recall 98.8 %" in said and "Left to a person 23.9 %" in said


@pytest.mark.parametrize("language", catalogs.TRANSLATED)
@pytest.mark.parametrize("report", ["report", "ncr"])
def test_no_english_is_left_in_the_translated_reports_of_a_lot(
    client: FlaskClient, lots: Lots, language: str, report: str
) -> None:
    lot = rejected(lots, f"Translated {language} {report}")
    client.set_cookie("flawsight_language", language)
    text = re.sub(r"\s+", " ", pdf_text(client.get(f"/lots/{lot.id}/{report}.pdf").data))
    assert catalogs.english_in(text, language) == []
    with speaking(language):
        words = [gettext(word) for word in ("Critical", "Major", "Open", "Fray")]
        words += [gettext("Undecided"), gettext("Good")] if report == "report" else []
        words.append(gettext("Serial %(serial)s", serial=f"Translated {language} {report}/1"))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("language", ["en", *catalogs.TRANSLATED])
@pytest.mark.parametrize("decision", ["reject", "withdraw"])
def test_the_word_of_the_banner_stays_in_one_piece(
    client: FlaskClient, lots: Lots, language: str, decision: str
) -> None:
    lot = opened(lots, f"Banner {language} {decision}", ("PCB_open", *["accept"] * 4))
    lots.close(lot.id, decision, "Ines", "An open track.")
    client.set_cookie("flawsight_language", language)
    first = PdfReader(BytesIO(client.get(f"/lots/{lot.id}/report.pdf").data)).pages[0].extract_text()
    with speaking(language):
        word = gettext(STATES[DECISIONS[decision]]).upper()
    assert re.search(rf"(?<!\w){word}(?!\w)", first)


@pytest.mark.parametrize("language", ["en", *catalogs.TRANSLATED])
def test_the_ncr_is_two_full_pages_that_end_with_action_and_sign_off(
    client: FlaskClient, lots: Lots, language: str
) -> None:
    lot = opened(lots, f"Flow {language}", ("PCB_open", "MT_Fray", *["MT_Crack", "MT_Blowhole"] * 6))
    lots.close(lot.id, "reject", "Ines", "Cracks and holes.")
    client.set_cookie("flawsight_language", language)
    pages = PdfReader(BytesIO(client.get(f"/lots/{lot.id}/ncr.pdf").data)).pages
    with speaking(language):
        last = [gettext(text) for text in ("Corrective action, reference", "Sign-off", "Closed by")]
        more = gettext("Nonconforming as well (%(num)s)", num=2)
    assert len(pages) == 2 and len(pages[0].images) >= 8
    assert [text for text in last if text not in pages[1].extract_text()] == []
    both = re.sub(r"\s+", " ", "".join(page.extract_text() for page in pages))
    assert more in both and f"Flow {language}/13" in both


def test_a_lot_that_lost_some_parts_to_a_rule_says_so_wherever_they_are_listed(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    store = app.extensions["flawsight"].store
    lots, client = Lots(store), app.test_client()
    lot = rejected(lots, "Thinned")  # two of its five parts are good
    Retention(store).apply(Rule(0), "Ada")
    said = "The records of 2 inspections of this lot were deleted by a retention rule ("
    page = client.get(f"/lots/{lot.id}").text
    assert page.count(said) >= 2 and "Good (0)" in page, "above, and where the parts are listed"
    for paper in ("report", "ncr"):
        text = " ".join(pdf_text(client.get(f"/lots/{lot.id}/{paper}.pdf").data).split())
        assert said in text, paper
    lines = list(csv.DictReader(StringIO(client.get(f"/lots/{lot.id}/lot.csv").text.lstrip("\ufeff"))))
    assert [(line["part"], line["state"], line["inspections"]) for line in lines] == [
        ("1", "nonconforming", "1"), ("2", "undecided", "1"), ("3", "nonconforming", "1"),
        ("", "deleted", "2"),
    ]  # fmt: skip
    [taken] = (client.get(f"/api/v1/lots/{lot.id}").json or {})["deleted"]
    assert (taken["inspections"], taken["by"]) == (2, "Ada") and taken["created_at"]
    close(app)


def test_reports_outlive_the_pictures_that_a_rule_deletes(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    store = app.extensions["flawsight"].store
    lots, client = Lots(store), app.test_client()
    lot = rejected(lots, "Deleted")
    [left] = [part.looks[0].id for part in lots.assess(lot).parts if part.state == "undecided"]
    Reviews(store).add(left, Answer("Ines", "unknown", "MT_Free"))
    assert "Since the closing 1 part was answered again" in client.get(f"/lots/{lot.id}").text
    Retention(store).apply(Rule(0, only_accepted=False), "Ada")
    text = pdf_text(client.get(f"/lots/{lot.id}/report.pdf").data)
    said = "The records of 5 inspections of this lot were deleted by a retention rule"
    assert said in " ".join(text.split()) and "Fray (Major)" in text
    assert said in client.get(f"/lots/{lot.id}").text
    close(app)


@pytest.mark.parametrize("size", [2**63, 10**30])
def test_a_lot_larger_than_can_be_kept_is_refused(client: FlaskClient, size: int) -> None:
    for sent in (
        client.post("/api/v1/lots", json={"number": "Huge", "size": size, "by": "x"}),
        client.post("/lots", data={**FORM, "number": "Huge", "size": str(size), "csrf_token": token(client)}),
    ):
        assert sent.status_code == 400
