"""People answer, nothing is overwritten, and what they said can be trained on."""

from __future__ import annotations

import csv
import gc
import json
import re
import zipfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from factories import encode, make_inspection, make_pictures
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import update
from web_client import cracked, encoded, send_form, token

from flawsight.cli import main
from flawsight.data.adapters import find_samples
from flawsight.errors import DataError, NotFound
from flawsight.imaging import read_image
from flawsight.inspection.result import Box
from flawsight.records import Record, Store
from flawsight.records.agreement import agreement
from flawsight.records.retention import Retention, Rule
from flawsight.records.reviews import Answer, BadReview, Review, ReviewBox, Reviews
from flawsight.records.search import Filter, History
from flawsight.records.tables import CatalogueRow, ReviewRow
from flawsight.records.verify import verify
from flawsight.reporting.report import build_report

CRACK = ReviewBox(60, 40, 120, 100, "MT_Crack")  # where the factory's model found it
FOUND = Answer("A. Kern", "reject", "MT_Crack", (CRACK,))


@pytest.fixture
def reviews(store: Store) -> Reviews:
    return Reviews(store)


def file(store: Store, verdict: str = "reject", suffix: str = ".png", **more: Any) -> Record:
    inspection = make_inspection(verdict, **more)
    return store.add(inspection, encode(inspection.pixels, suffix), make_pictures(inspection))


# --- answers --------------------------------------------------------------------------------------------


def test_every_answer_stays_and_the_latest_counts(store: Store, reviews: Reviews) -> None:
    record = file(store)
    first = reviews.add(record.id, FOUND)
    second = reviews.add(record.id, Answer("B. Roth", "accept", "MT_Free", (), "use_as_is", "A shadow."))
    assert (first.state, second.state) == ("confirmed", "corrected")
    assert reviews.of(record.id) == [first, second]
    assert reviews.latest([record.id, "0" * 32]) == {record.id: second}
    assert [e.review_state for e in History(store).page(Filter(review="corrected")).entries] == ["corrected"]
    assert store.get(record.id) == record  # the model's own answer is what it was


@pytest.mark.parametrize(
    ("verdict", "answer", "state"),
    [
        ("reject", FOUND, "confirmed"),
        ("reject", replace(FOUND, boxes=()), "corrected"),
        ("reject", replace(FOUND, boxes=(replace(CRACK, x2=121),)), "corrected"),
        ("reject", replace(FOUND, class_id="MT_Fray"), "corrected"),
        ("review", FOUND, "confirmed"),
        ("accept", Answer("A", "accept", "MT_Free"), "confirmed"),
        ("accept", Answer("A", "accept", "DAGM_Free"), "corrected"),
        ("accept", FOUND, "corrected"),
        ("unknown", FOUND, "corrected"),
        ("unknown", Answer("A", "unknown", "MT_Crack"), "confirmed"),
    ],
)
def test_an_answer_other_than_the_models_is_a_correction(
    store: Store, reviews: Reviews, verdict: str, answer: Answer, state: str
) -> None:
    assert reviews.add(file(store, verdict).id, answer).state == state


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"reviewer": ""}, "Say who"),
        ({"reviewer": "x" * 81}, "Say who"),
        ({"verdict": "maybe"}, "one of"),
        ({"class_id": ""}, "Choose the defect"),
        ({"verdict": "accept", "class_id": "", "boxes": ()}, "Name the class"),
        ({"class_id": "MT_Free"}, "has a defect"),
        ({"verdict": "accept", "boxes": ()}, "no defect"),
        ({"verdict": "accept", "class_id": "MT_Free"}, "only a rejected part"),
        ({"disposition": "burn"}, "disposition"),
        ({"disposition": "use_as_is"}, "why a rejected part"),
        *(
            (
                {"verdict": "accept", "class_id": "MT_Free", "boxes": (), "disposition": disposition},
                "why an accepted part is not to be used",
            )
            for disposition in ("scrap", "rework", "repair", "return")
        ),
        ({"rationale": "x" * 2001}, "Shorten"),
        ({"boxes": (ReviewBox(60, 40, 241, 100, "MT_Crack"),)}, "leaves the picture"),
        ({"boxes": (ReviewBox(60, 40, 60, 100, "MT_Crack"),)}, "empty"),
        ({"boxes": (ReviewBox(-1, 40, 60, 100, "MT_Crack"),)}, "leaves the picture"),
        ({"boxes": (ReviewBox(0, 0, 5, 5, "MT_Free"),)}, "class of defect"),
        ({"boxes": (replace(CRACK, class_id=""),)}, "class of each box"),
        ({"boxes": (replace(CRACK, class_id="x" * 81),)}, "class of each box"),
        ({"boxes": tuple(ReviewBox(x, 0, x + 1, 1, "MT_Crack") for x in range(201))}, "More than"),
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(
    store: Store, reviews: Reviews, change: dict[str, Any], hint: str
) -> None:
    record = file(store)
    with pytest.raises(BadReview, match=hint):
        reviews.add(record.id, replace(FOUND, **change))
    assert reviews.of(record.id) == []


def test_a_part_that_is_none_for_the_model_has_no_class(
    store: Store, reviews: Reviews, client: FlaskClient
) -> None:
    strange = file(store, "unknown")
    for class_id in ("", "MT_Blowhole"):
        said = reviews.add(strange.id, Answer("A. Kern", "unknown", class_id))
        assert (said.state, said.class_id) == ("confirmed", "")
    page = client.get(f"/inspections/{strange.id}").text
    assert "<strong>Not a part for this model</strong>" in page
    figures = agreement(store)
    assert (figures.n, figures.by_class, figures.classes) == (1, (), None)


def test_what_is_no_part_for_the_model_is_told_without_a_class_however_it_was_filed(
    store: Store, client: FlaskClient
) -> None:
    record = file(store, "reject")

    def classes() -> list[str]:
        rows = list(csv.DictReader(StringIO(client.get("/history/history.csv").data.decode("utf-8-sig"))))
        [review] = (client.get(f"/api/v1/inspections/{record.id}/reviews").json or {})["reviews"]
        [entry] = (client.get("/api/v1/inspections").json or {})["inspections"]
        [whole] = json.loads(client.get("/history/history.json").data)["inspections"]
        assert rows[0]["review_verdict"] == "unknown"
        return [rows[0]["review_class"], review["class"], entry["final_class"], whole["reviews"][0]["class"]]

    sent = {"reviewer": "A. Kern", "verdict": "unknown"}
    filed = client.post(f"/api/v1/inspections/{record.id}/reviews", json=sent)
    assert (filed.json or {})["class"] == "" and classes() == [""] * 4
    assert not verify(store).findings
    with store.transaction("write", write=True) as session:  # as such an answer was filed before
        session.execute(update(ReviewRow).values(class_id="MT_Crack"))
        session.execute(update(CatalogueRow).values(final_class="MT_Crack"))
    assert classes() == [""] * 4
    for address in (f"/inspections/{record.id}", f"/review/{record.id}", "/history"):
        assert client.get(address).status_code == 200


def test_an_answer_to_what_somebody_has_answered_meanwhile_is_looked_at_again(
    store: Store, reviews: Reviews, client: FlaskClient
) -> None:
    record = file(store)
    form = {"csrf_token": token(client), "seen": "0", "reviewer": "Bob", "boxes": "[]"}
    ann = {**form, "reviewer": "Ann", "verdict": "accept", "class": "MT_Free"}
    bob = {**form, "verdict": "reject", "class": "MT_Crack", "rationale": "It is torn."}
    assert client.post(f"/review/{record.id}", data=ann).status_code == 303
    again = client.post(f"/review/{record.id}", data=bob)
    assert again.status_code == 409 and "Ann has answered meanwhile" in again.text
    assert "It is torn." in again.text and 'name="seen" value="1"' in again.text
    assert [one.reviewer for one in reviews.of(record.id)] == ["Ann"]
    assert client.post(f"/review/{record.id}", data={**bob, "seen": "1"}).status_code == 303
    assert [one.reviewer for one in reviews.of(record.id)] == ["Ann", "Bob"]


def test_all_boxes_of_the_model_may_be_confirmed_however_many(store: Store, reviews: Reviews) -> None:
    found = tuple(Box(x, y, x + 4, y + 4, 0.9, "MT_Crack") for x in range(0, 240, 8) for y in range(0, 64, 8))
    record = file(store, boxes=found)
    kept = tuple(ReviewBox(b.x1, b.y1, b.x2, b.y2, b.class_id) for b in found)
    assert len(kept) == 240 and reviews.add(record.id, replace(FOUND, boxes=kept)).state == "confirmed"
    drawn = tuple(ReviewBox(x, 100, x + 1, 101, "MT_Crack") for x in range(201))
    assert reviews.add(record.id, replace(FOUND, boxes=(*kept, *drawn[1:]))).state == "corrected"
    with pytest.raises(BadReview, match="More than 200 boxes were drawn"):
        reviews.add(record.id, replace(FOUND, boxes=(*kept, *drawn)))


def test_an_unknown_inspection_cannot_be_answered(reviews: Reviews) -> None:
    with pytest.raises(NotFound):
        reviews.add("0" * 32, FOUND)


# --- the queue ------------------------------------------------------------------------------------------


def test_the_queue_has_the_least_certain_first_and_loses_what_is_answered(
    store: Store, reviews: Reviews
) -> None:
    sure = file(store, "reject", confidence=0.99)
    tossed = file(store, "review", defect_probability=0.52)
    good = file(store, "accept", confidence=0.9)
    foreign = file(store, "unknown")
    order = [foreign.id, tossed.id, good.id, sure.id]
    assert [entry.id for entry in reviews.queue("all")] == order
    assert reviews.neighbours(foreign.id, "all") == (None, tossed.id)
    assert reviews.neighbours(good.id, "all") == (tossed.id, sure.id)
    assert reviews.neighbours(sure.id, "all") == (good.id, None)
    reviews.add(tossed.id, FOUND)
    assert [entry.id for entry in reviews.queue("all")] == [foreign.id, good.id, sure.id]
    assert reviews.neighbours(tossed.id, "all") == (foreign.id, good.id)  # an answered one knows its place
    assert reviews.neighbours("0" * 32) == (None, None)
    assert reviews.count_queue("all") == 3 and reviews.count_queue("all", 2) == 2


def test_the_start_page_lists_the_answer_of_a_person_who_decided(client: FlaskClient, store: Store) -> None:
    send_form(client, encoded(cracked()), "cracked.png")
    record = store.recent()[0]
    assert ("REJECT" in client.get("/recent").text, "ACCEPT" in client.get("/recent").text) == (True, False)
    Reviews(store).add(record.id, Answer("A. Kern", "accept", "MT_Free"))
    assert ("REJECT" in client.get("/recent").text, "ACCEPT" in client.get("/recent").text) == (False, True)


def test_the_usual_queue_holds_only_what_the_model_left_to_a_person(store: Store, reviews: Reviews) -> None:
    file(store, "reject")
    tossed = [file(store, "review", defect_probability=share) for share in (0.6, 0.52)]
    file(store, "accept")
    foreign = file(store, "unknown")
    assert [entry.id for entry in reviews.queue()] == [foreign.id, tossed[1].id, tossed[0].id]
    assert reviews.count_queue() == 3
    assert reviews.neighbours(tossed[1].id) == (foreign.id, tossed[0].id)
    assert reviews.neighbours(tossed[0].id) == (tossed[1].id, None)
    reviews.add(tossed[1].id, FOUND)
    reviews.add(foreign.id, Answer("A", "unknown", "MT_Crack"))
    assert [entry.id for entry in reviews.queue()] == [tossed[0].id]


def test_the_page_of_the_queue_counts_both_and_stays_within_the_one_it_shows(
    client: FlaskClient, store: Store
) -> None:
    good, sure = file(store, "accept"), file(store, "accept", confidence=0.99)
    foreign = file(store, "unknown", confidence=0.9999)
    page = client.get("/review").text
    assert "1 waits for an answer" in page and foreign.number in page and good.number not in page
    assert "Undecided by the model (1)" in page and "All without an answer (3)" in page
    assert "99.9" not in page, "how sure it is of a class it does not know says nothing"
    page = client.get("/review?queue=all").text
    assert "3 have no answer yet" in page and f"/review/{good.id}?queue=all" in page
    page = client.get(f"/review/{good.id}?queue=all").text
    assert f"/review/{sure.id}?queue=all" in page and 'href="/review?queue=all"' in page
    response = send(client, good, "?queue=all", verdict="accept", then="next", **{"class": "MT_Free"})
    assert response.location == f"/review/{sure.id}?queue=all"
    asked = client.get("/api/v1/reviews/queue?show=undecided").json["inspections"]  # type: ignore[index]
    assert [one["number"] for one in asked] == [foreign.number]
    assert client.get("/api/v1/reviews/queue?show=x").status_code == 400


# --- the page -------------------------------------------------------------------------------------------


def send(client: FlaskClient, record: Record, within: str = "", **fields: str) -> Any:
    form = {
        "csrf_token": token(client), "reviewer": "A. Kern", "verdict": "reject", "class": "MT_Crack",
        "boxes": json.dumps([CRACK.to_dict()]), **fields,
    }  # fmt: skip
    return client.post(f"/review/{record.id}{within}", data=form)


def test_the_page_files_an_answer_and_goes_on_to_the_next(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    assert "Nothing inspected yet" in client.get("/review").text
    first, second = (file(store, "review", defect_probability=share) for share in (0.52, 0.6))
    assert first.number in client.get(f"/review/{first.id}").text
    response = send(client, first, disposition="scrap", rationale="Cracked\r\nthrough.", then="next")
    assert (response.status_code, response.location) == (303, f"/review/{second.id}")
    answer = reviews.of(first.id)[0]
    assert (answer.reviewer, answer.boxes, answer.rationale) == ("A. Kern", (CRACK,), "Cracked\nthrough.")
    assert 'value="A. Kern"' in client.get(f"/review/{second.id}").text  # the name is remembered
    decided = file(store, "reject")
    send(client, decided)
    assert "Nothing else waits" not in client.get(f"/inspections/{decided.id}").text  # the second does
    assert send(client, second, then="next").location == f"/inspections/{second.id}"
    assert "Nothing else waits" in client.get(f"/inspections/{second.id}").text
    assert "left to a person has been answered" in client.get("/review").text
    assert "Every inspection has been answered" in client.get("/review?queue=all").text


def test_whoever_reviews_out_of_a_filtered_list_stays_within_it(client: FlaskClient, store: Store) -> None:
    first, between, last = (file(store, verdict) for verdict in ("reject", "review", "reject"))
    within = "?verdict=reject&amp;order=oldest"
    result = client.get(f"/inspections/{first.id}?verdict=reject&order=oldest").text
    assert f"/review/{first.id}{within}" in result
    assert f"/review/{first.id}?answer=accept&amp;verdict=reject&amp;order=oldest" in result
    page = client.get(f"/review/{first.id}?answer=accept&verdict=reject&order=oldest").text
    assert f'action="/review/{first.id}{within}"' in page and f'href="/history{within}"' in page
    assert f"/review/{last.id}{within}" in page and between.id not in page
    assert re.search(r'value="accept" required checked', page)
    plain = within.replace("&amp;", "&")
    assert send(client, first, plain, then="next").location == f"/review/{last.id}{plain}"
    assert send(client, last, plain, then="next").location == f"/inspections/{last.id}{plain}"
    assert (
        "Nothing else waits" not in client.get(f"/inspections/{last.id}").text
    )  # one does: it is not listed


def test_the_result_the_review_page_and_the_history_show_every_answer(
    client: FlaskClient, store: Store
) -> None:
    record = file(store)
    send(client, record, **{"class": "MT_Fray", "rationale": "<i>Edge"})
    for address in (f"/inspections/{record.id}", f"/review/{record.id}"):
        page = client.get(address).text
        assert "A. Kern" in page and "corrected" in page and "&lt;i&gt;Edge" in page and "<i>Edge" not in page
    assert "Corrected" in client.get("/history?review=corrected").text


def test_without_scripts_an_accepted_part_loses_the_models_boxes(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    record = file(store)
    assert send(client, record, verdict="accept", **{"class": "MT_Free"}).status_code == 303
    assert reviews.of(record.id)[0].boxes == ()


def chosen_class(page: str) -> str:
    found = re.search(r'<option value="([^"]*)"[^>]* selected', page.split('id="class"')[1])
    assert found
    return found[1]


def test_a_defect_that_nobody_named_has_to_be_chosen(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    good = file(store, "accept")
    page = client.get(f"/review/{good.id}?answer=reject").text
    assert chosen_class(page) == "" and "Choose the defect" in page
    refused = send(client, good, boxes="[]", **{"class": ""})
    assert refused.status_code == 400 and "a rejected part needs its class" in refused.text
    assert chosen_class(refused.text) == "" and reviews.of(good.id) == []
    suspected = file(store, "review")  # whose class the model says is a crack
    assert chosen_class(client.get(f"/review/{suspected.id}?answer=reject").text) == "MT_Crack"
    assert chosen_class(client.get(f"/review/{suspected.id}?answer=accept").text) == "MT_Free"


def test_an_accepted_part_is_scrapped_only_with_a_rationale(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    record = file(store, "accept")
    said = {"verdict": "accept", "class": "MT_Free", "disposition": "scrap"}
    refused = send(client, record, **said)
    assert refused.status_code == 400 and "why an accepted part" in refused.text
    answer = client.post(f"/api/v1/inspections/{record.id}/reviews", json={**said, "reviewer": "A. Kern"})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_review")  # type: ignore[index]
    assert send(client, record, **said, rationale="Fell off the bench.").status_code == 303
    assert reviews.of(record.id)[0].disposition == "scrap"


def test_a_refused_answer_keeps_what_was_typed(client: FlaskClient, store: Store, reviews: Reviews) -> None:
    record = file(store)
    response = send(client, record, disposition="use_as_is", reviewer="Zoë")
    assert response.status_code == 400 and "Say in the rationale why" in response.text
    assert 'value="Zoë"' in response.text and 'value="use_as_is" checked' in response.text
    for boxes in ("[", "{}", "[1]", '[{"x1": "1"}]', '[{"x1":1.5,"y1":1,"x2":2,"y2":2,"class":"MT_Crack"}]'):
        assert send(client, record, boxes=boxes).status_code == 400
    assert reviews.of(record.id) == []


def test_an_answer_needs_the_form_token(client: FlaskClient, store: Store) -> None:
    assert client.post(f"/review/{file(store).id}", data={"verdict": "accept"}).status_code == 400


# --- for programs ---------------------------------------------------------------------------------------


def test_a_program_answers_and_reads_answers(client: FlaskClient, store: Store) -> None:
    record = file(store)
    address = f"/api/v1/inspections/{record.id}/reviews"
    assert client.get("/api/v1/reviews/queue").json["inspections"][0]["links"]["reviews"] == address  # type: ignore[index]
    said = {
        "reviewer": "Line 2",
        "verdict": "reject",
        "class": "MT_Crack",
        "boxes": [CRACK.to_dict()],
        "disposition": "rework",
    }
    response = client.post(address, json=said)
    assert response.status_code == 201 and response.location == address
    (read,) = client.get(address).json["reviews"]  # type: ignore[index]
    assert read == response.json and said.items() <= read.items() and read["state"] == "confirmed"
    listed = client.get("/api/v1/inspections?review=confirmed").json
    assert listed is not None and [one["number"] for one in listed["inspections"]] == [record.number]
    assert (listed["count"], listed["count_is_complete"], listed["next"]) == (1, True, None)


def test_the_json_of_an_inspection_carries_the_answer_that_counts(client: FlaskClient, store: Store) -> None:
    record = file(store, "review")
    address = f"/api/v1/inspections/{record.id}"
    assert client.get(address).json["review"] is None  # type: ignore[index]
    send(client, record, reviewer="First")
    send(client, record, reviewer="Second", disposition="scrap")
    for place in (address, f"/inspections/{record.id}/inspection.json"):
        said = client.get(place).json
        assert said is not None and said["verdict"] == "review"  # the model's own answer is what it was
        assert (said["review"]["reviewer"], said["review"]["disposition"]) == ("Second", "scrap")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"boxes": {}}', b'{"boxes": [[]]}', b'{"verdict": 1}', b'{"verdict": "reject"}',
     b'{"boxes": [{"x1":true,"y1":0,"x2":1,"y2":1,"class":"a"}]}'],
)  # fmt: skip
def test_a_program_that_errs_gets_the_one_error_shape(client: FlaskClient, store: Store, body: bytes) -> None:
    address = f"/api/v1/inspections/{file(store).id}/reviews"
    response = client.post(address, data=body, content_type="application/json")
    assert response.status_code == 400 and response.json is not None
    assert response.json["detail"]
    assert client.get("/api/v1/inspections/nothing/reviews").status_code == 404


@pytest.mark.parametrize(
    "half",
    [
        r'"reviewer": "\ud83d"',
        r'"reviewer": "A", "rationale": "cut \ud83d"',
        r'"reviewer": "A", "boxes": [{"x1": 0, "y1": 0, "x2": 9, "y2": 9, "class": "cut \udc00"}]',
    ],
)
def test_half_of_a_sign_is_refused_and_no_page_meets_it(
    client: FlaskClient, store: Store, reviews: Reviews, half: str
) -> None:
    record = file(store)
    body = f'{{"verdict": "reject", "class": "MT_Crack", {half}}}'
    address = f"/api/v1/inspections/{record.id}/reviews"
    response = client.post(address, data=body, content_type="application/json")
    assert response.status_code == 400 and response.json is not None
    assert response.json["code"] == "bad_body" and "half of a sign" in response.json["detail"]
    assert reviews.of(record.id) == [] and client.get(f"/inspections/{record.id}").status_code == 200


def test_a_program_deletes_by_rule_and_reads_the_record(client: FlaskClient, store: Store) -> None:
    number = file(store, "accept").number
    done = client.post("/api/v1/retention", json={"days": 0, "which": "all"}).json
    assert done is not None and (done["inspections"], done["first_number"]) == (1, number)
    assert client.get("/api/v1/retention").json == {"deletions": [done]}
    assert client.post("/api/v1/retention", json={"which": "all"}).status_code == 400


def test_a_program_lists_and_exports_the_history(client: FlaskClient, store: Store) -> None:
    number = file(store).number
    assert number in client.get("/api/v1/inspections/history.csv").text
    assert number in client.get("/api/v1/inspections/history.json").text
    assert client.get("/api/v1/inspections?min=x").status_code == 400


# --- what counts ----------------------------------------------------------------------------------------


def words_of(client: FlaskClient, record: Record) -> str:
    page = client.get(f"/inspections/{record.id}").text
    return " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<main") :]).split())


def test_the_page_is_headed_by_the_person_and_the_models_answer_stands_below(
    client: FlaskClient, store: Store
) -> None:
    record = file(
        store, "review", boxes=(), predicted_class="MT_Free", confidence=0.6, defect_probability=0.4
    )
    before = words_of(client, record)
    assert "REVIEW : Not certain: a person should look" in before and "Hold the part until" in before
    send(client, record, disposition="rework")
    page = words_of(client, record)
    assert "REJECT : Crack Decided by A. Kern, " in page and "the model was not certain" in page
    assert "The model’s own answer, unchanged: REVIEW Not certain: a person should look" in page
    assert "Next step Rework the part, then inspect it again." in page and "Hold the part until" not in page
    assert "How sure the model is" in page and "P1 Crack 60, 40" in page and "drawn" in page
    send(client, record, verdict="accept", **{"class": "MT_Free"})
    page = words_of(client, record)
    assert "ACCEPT : Tile, good Decided by A. Kern" in page and "Release to the next step." in page


def test_the_models_boxes_that_a_person_kept_removed_or_drew_are_told_apart(
    client: FlaskClient, store: Store
) -> None:
    found = (Box(60, 40, 120, 100, 0.91, "MT_Crack"), Box(150, 20, 180, 60, 0.8, "MT_Fray"))
    record = file(store, boxes=found)
    own = ReviewBox(5, 6, 50, 60, "MT_Blowhole")
    send(client, record, boxes=json.dumps([CRACK.to_dict(), own.to_dict()]))
    page = words_of(client, record)
    assert "REJECT : Crack, Blowhole" in page
    rows = re.findall(r"(P?\d) (\w+) \d+, \d+ \d+ × \d+ \S+ % (\S+)(?: %)? (kept|removed|drawn)", page)
    assert rows == [
        ("P1", "Blowhole", "–", "drawn"),
        ("1", "Crack", "91.0", "kept"),
        ("2", "Fray", "80.0", "removed"),
    ]
    viewer = (
        client.get(f"/inspections/{record.id}").text.partition('id="layer-marks"')[2].partition("</svg>")[0]
    )
    assert re.findall(r">(P?\d)</text>", viewer) == ["P1", "1"]


# --- the report -----------------------------------------------------------------------------------------


def test_the_report_is_filled_from_the_latest_answer(client: FlaskClient, store: Store) -> None:
    record = file(store)
    blank = report_text(client.get(f"/inspections/{record.id}/report.pdf").data)
    assert "Reviewed:" not in blank
    send(client, record, reviewer="First", disposition="rework")
    send(
        client,
        record,
        reviewer="Ä. Kern",
        disposition="scrap",
        rationale="Through <b>& through.",
        **{"class": "MT_Fray"},
    )
    text = report_text(client.get(f"/inspections/{record.id}/report.pdf").data)
    assert "Reviewed: REJECT, Fray (not what the model said)" in text
    assert "Ä. Kern" in text and "First" not in text and "Through <b>& through." in text


def test_whoever_moves_a_box_alone_does_not_contradict_the_model(client: FlaskClient, store: Store) -> None:
    record = file(store)
    moved = [{**CRACK.to_dict(), "x1": 55}]
    send(client, record, boxes=json.dumps(moved))
    page = " ".join(client.get(f"/inspections/{record.id}").text.split())
    text = report_text(client.get(f"/inspections/{record.id}/report.pdf").data)
    assert "Reviewed: REJECT, Crack (as the model said, boxes corrected)" in text
    for said in (page, text):
        assert "as the model said, boxes corrected" in said and "not what the model said" not in said


def test_the_longest_answer_fits_the_report() -> None:
    inspection = make_inspection()
    record = Record.unfiled(inspection, b"upload", make_pictures(inspection))
    review = Review(
        reviewer="W" * 80, verdict="reject", class_id="MT_Crack", boxes=(), disposition="use_as_is",
        rationale="Wide words everywhere. " * 80, inspection_id=record.id,
        created_at=datetime(2026, 11, 20, tzinfo=UTC), state="corrected",
    )  # fmt: skip
    pages = PdfReader(BytesIO(build_report(record, [review]))).pages
    assert len(pages) == 2 and "Wide words" in pages[1].extract_text()


def report_text(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).split())


# --- training on it -------------------------------------------------------------------------------------


def answered(store: Store, reviews: Reviews) -> dict[str, Record]:
    """One inspection each: confirmed, corrected to a defect, corrected to good, of no class."""
    kept = {
        "confirmed": file(store),
        "defect": file(store, "accept", ".jpg"),
        "good": file(store),
        "none": file(store),
    }
    reviews.add(kept["confirmed"].id, FOUND)
    reviews.add(kept["defect"].id, Answer("A", "reject", "MT_Fray", (ReviewBox(5, 6, 50, 60, "MT_Fray"),)))
    reviews.add(kept["good"].id, Answer("A", "accept", "MT_Free"))
    reviews.add(kept["none"].id, Answer("A", "unknown", "MT_Crack"))
    return kept


def test_corrections_are_read_as_a_dataset_with_their_boxes(
    store: Store, reviews: Reviews, tmp_path: Path
) -> None:
    kept = answered(store, reviews)
    out = tmp_path / "corrections"
    result = CliRunner().invoke(main, ["data", "corrections", str(out), "--instance", str(store.instance)])
    assert result.exit_code == 0 and "2 images" in result.output
    samples = {sample.class_id: sample for sample in find_samples([out])}
    assert set(samples) == {"MT_Fray", "MT_Free"}
    (box,) = samples["MT_Fray"].boxes
    assert (box.x1, box.y1, box.x2, box.y2, box.class_id) == (5, 6, 50, 60, "MT_Fray")
    assert samples["MT_Free"].boxes == ()
    fray = samples["MT_Fray"].path
    assert fray.name == f"{kept['defect'].number}.jpg" and read_image(fray).shape == (180, 240, 3)


def test_confirmed_answers_come_along_when_asked_for(store: Store, reviews: Reviews, tmp_path: Path) -> None:
    answered(store, reviews)
    out = tmp_path / "all"
    arguments = ["data", "corrections", str(out), "--instance", str(store.instance), "--all"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert {sample.class_id for sample in find_samples([out])} == {"MT_Crack", "MT_Fray", "MT_Free"}


def test_an_image_whose_answer_has_changed_lies_in_one_folder_when_corrections_are_written_again(
    store: Store, reviews: Reviews, tmp_path: Path
) -> None:
    kept = answered(store, reviews)
    out, outside = tmp_path / "corrections", tmp_path / "INSP-2026-000001.png"
    arguments = ["data", "corrections", str(out), "--instance", str(store.instance)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    foreign = [outside, out / "MT_Free" / "mine.png", out / "INSP-2026-000001.png"]
    for path in foreign:
        path.write_bytes(b"not ours")
    boxes = json.loads((out / "boxes.json").read_text())
    names = (f"../{outside.name}", str(outside), "MT_Free/mine.png", "INSP-2026-000001.png")
    (out / "boxes.json").write_text(json.dumps(boxes | {name: [] for name in names}))
    reviews.add(kept["defect"].id, Answer("B", "reject", "MT_Crack"))
    assert CliRunner().invoke(main, arguments).exit_code == 0
    left = {str(path.relative_to(out)) for path in out.rglob("*.[jp][pn]g")} - {"INSP-2026-000001.png"}
    assert left == {
        f"MT_Crack/{kept['defect'].number}.jpg", f"MT_Free/{kept['good'].number}.png", "MT_Free/mine.png"
    }  # fmt: skip
    assert not (out / "MT_Fray").exists() and all(path.read_bytes() == b"not ours" for path in foreign)


def test_the_zip_holds_the_same(client: FlaskClient, store: Store, reviews: Reviews) -> None:
    kept = answered(store, reviews)
    for address in ("/review/corrections.zip", "/api/v1/reviews/corrections.zip"):
        response = client.get(address)
        with closing(response), zipfile.ZipFile(BytesIO(response.data)) as archive:
            assert sorted(archive.namelist()) == [
                f"corrections/MT_Fray/{kept['defect'].number}.jpg",
                f"corrections/MT_Free/{kept['good'].number}.png",
                "corrections/boxes.json",
            ]


def test_what_a_retention_rule_removes_meanwhile_is_left_out_and_not_answered(
    store: Store, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(store, reviews)

    class Overtaken(Reviews):
        """A rule removes all inspections between two looks at the database."""

        def latest(self, inspection_ids: Sequence[str]) -> dict[str, Review]:
            remove_all(self.store)
            return super().latest(inspection_ids)

    assert list(Overtaken(store).walk()) == []
    fresh = file(store)
    monkeypatch.setattr("flawsight.records.reviews.check", lambda answer, record: remove_all(store))
    with pytest.raises(NotFound, match="no such inspection"):
        reviews.add(fresh.id, FOUND)


def remove_all(store: Store) -> None:
    Retention(store).apply(Rule(0, only_accepted=False), "A. Kern", datetime.now(UTC) + timedelta(days=1))


def test_an_image_that_was_lost_is_named_where_corrections_are_saved(
    store: Store, reviews: Reviews, tmp_path: Path
) -> None:
    lost = answered(store, reviews)["good"]
    for name in ("upload.bin", "original.png"):
        (store.folder / lost.id / name).unlink()
    arguments = ["data", "corrections", str(tmp_path / "out"), "--instance", str(store.instance)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and f"image of inspection {lost.number} cannot be read" in result.output


def test_without_corrections_the_command_says_so(store: Store, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["data", "corrections", str(tmp_path / "o"), "--instance", str(store.instance)]
    )
    assert result.exit_code == 1 and "Nobody has corrected" in result.output
    assert not (tmp_path / "o").exists()


def test_a_class_of_any_name_stays_inside_the_folder(store: Store, reviews: Reviews, tmp_path: Path) -> None:
    reviews.add(file(store).id, Answer("A", "reject", "../../etc/passwd"))
    out = tmp_path / "out"
    CliRunner().invoke(main, ["data", "corrections", str(out), "--instance", str(store.instance)])
    assert [path.parent.parent for path in out.rglob("*.png")] == [out]


@pytest.mark.parametrize("text", ["[", "[]", '{"a/b.png": [{"x1": 1}]}', '{"a/b.png": 5}'])
def test_boxes_that_cannot_be_read_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(encode(make_inspection().pixels))
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DataError, match=r"boxes\.json cannot be read as boxes"):
        find_samples([tmp_path])


def test_half_of_a_sign_in_the_boxes_of_the_form_is_refused_too(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    record = file(store)
    boxes = r'[{"x1": 0, "y1": 0, "x2": 9, "y2": 9, "class": "cut \ud83d"}]'
    assert send(client, record, boxes=boxes).status_code == 400
    assert reviews.of(record.id) == [] and client.get("/").status_code == 200


def test_corrections_take_the_filed_picture_where_the_image_as_received_was_lost(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    kept = answered(store, reviews)
    (store.folder / kept["good"].id / "upload.bin").unlink()
    response = client.get("/review/corrections.zip")
    with closing(response), zipfile.ZipFile(BytesIO(response.data)) as archive:
        assert f"corrections/MT_Free/{kept['good'].number}.png" in archive.namelist()


def test_a_zip_of_corrections_that_cannot_be_made_says_why_and_leaves_no_file_open(
    client: FlaskClient, store: Store, reviews: Reviews
) -> None:
    lost = answered(store, reviews)["good"]
    for name in ("upload.bin", "original.png"):
        (store.folder / lost.id / name).unlink()
    for address in ("/review/corrections.zip", "/api/v1/reviews/corrections.zip"):
        response = client.get(address)
        assert response.status_code == 503 and lost.number in response.text
    gc.collect()  # import gc; a file that was left open warns, and warnings are errors
