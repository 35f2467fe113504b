"""Known good and bad parts must come out right before anything is inspected."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import select
from web_client import (
    close,
    cracked,
    encoded,
    post_file,
    send_form,
    send_to_api,
    surface,
    tiny_app,
    token,
)

from flawsight.errors import SettingsError
from flawsight.metadata import Decision
from flawsight.records import Accounts, Store
from flawsight.records.checks import DEAD, Check, CheckRunning
from flawsight.records.golden import GoldenParts, Schedule, fingerprint
from flawsight.records.links import Head
from flawsight.records.tables import CheckRow, GoldenRow, LinkRow
from flawsight.records.verify import head, verify
from flawsight.web.service import Service

GOOD, BAD = encoded(surface()), encoded(cracked())
PHOTO = encoded(surface() - 12)  # the good part in a little less light


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = tiny_app(tmp_path, golden="every 8 h")
    yield app
    close(app)


@pytest.fixture
def it(app: Flask) -> Service:
    service: Service = app.extensions["flawsight"]
    return service


def add_both(golden: GoldenParts) -> None:
    golden.add(GOOD, "smooth tile", "accept", "MT_Free", "admin")
    golden.add(BAD, "cracked tile", "reject", "", "admin")


def run(client: FlaskClient) -> dict[str, Any]:
    """The outcome of a check through the API."""
    response = client.post("/api/v1/trust/golden/check")
    assert response.status_code == 202 and response.location == "/api/v1/trust/golden"
    return ended(client, "golden")


def post_page(client: FlaskClient, form: dict[str, str], image: bytes) -> str:
    """What the page says after a part was added."""
    sent = {**form, "file": (BytesIO(image), "part.png")}
    return client.post("/trust/golden/parts", data=sent, follow_redirects=True).text


def ended(client: FlaskClient, what: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/api/v1/trust/{what}").get_json()
        if not found["check"]["running"]:
            return found
        time.sleep(0.05)
    raise AssertionError("the check never ended")


# --- when -----------------------------------------------------------------------------------------------


def test_a_schedule_is_every_so_many_hours_or_starts_of_shifts() -> None:
    noon = datetime(2026, 11, 21, 12, 0).astimezone()
    every = Schedule.parse("every 8 h")
    assert every == Schedule.parse("8") == Schedule(hours=8)
    assert every and every.valid_from(noon) == noon - timedelta(hours=8)
    shifts = Schedule.parse("14:00, 06:00 22:00")
    assert shifts and shifts.starts == (360, 840, 1320)
    assert shifts.valid_from(noon) == noon.replace(hour=6)
    assert shifts.valid_from(noon.replace(hour=5)) == noon.replace(hour=22) - timedelta(days=1)
    assert Schedule.parse(None) is None and Schedule.parse(" ") is None


@pytest.mark.usefixtures("clock_of_berlin")
@pytest.mark.parametrize("sunday", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
def test_a_shift_begins_by_the_clock_also_in_the_night_that_summer_time_begins_or_ends(
    sunday: datetime,
) -> None:
    shifts = Schedule.parse("06:00, 14:00, 22:00")
    evening = (sunday - timedelta(hours=2)).astimezone()
    assert shifts and evening.utcoffset() != (sunday + timedelta(hours=5)).astimezone().utcoffset()
    for hours in (0.5, 1.5, 3.5, 5.5):
        assert shifts.valid_from((sunday + timedelta(hours=hours)).astimezone()) == evening
    morning = sunday + timedelta(hours=6)
    assert shifts.valid_from(morning.astimezone()) == morning.astimezone()


@pytest.mark.parametrize("text", ["0", "shift", "25:00", "06:00 and 14:00", "-3", "every"])
def test_a_schedule_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="every 8 h"):
        Schedule.parse(text)


# --- locked and unlocked --------------------------------------------------------------------------------


def test_nothing_is_inspected_until_the_golden_parts_pass(client: FlaskClient, it: Service) -> None:
    refused = send_to_api(client, GOOD)
    assert refused.status_code == 423 and refused.get_json()["code"] == "golden_check_needed"
    assert "there are none" in refused.get_json()["detail"]
    add_both(it.golden)
    refused = send_form(client, GOOD)
    assert refused.status_code == 423 and "Run the check under Trust" in refused.text
    assert client.post("/samples/MT_Crack_1.png", data={"csrf_token": token(client)}).status_code == 423
    assert "Inspection is locked" in client.get("/").text and it.store.count() == 0
    found = run(client)
    assert (found["locked"], found["reason"], found["check"]["passed"]) == (False, "", True)
    answer = send_to_api(client, GOOD)
    assert answer.status_code == 201 and "Inspection is locked" not in client.get("/").text
    pdf = client.get(answer.get_json()["links"]["pdf"]).data
    assert "all 2 golden parts came out right" in PdfReader(BytesIO(pdf)).pages[1].extract_text()
    assert verify(it.store).ok


def test_a_part_that_comes_out_wrong_locks_and_is_named(client: FlaskClient, it: Service) -> None:
    add_both(it.golden)
    it.golden.add(encoded(surface(192, 160)), "a <hole>", "reject", "MT_Blowhole", "admin")
    found = run(client)
    assert found["locked"] and "1 of 3 golden parts failed" in found["reason"]
    wrong = [one for one in found["check"]["result"]["parts"] if not one["passed"]]
    assert [(one["title"], one["found_verdict"]) for one in wrong] == [("a <hole>", "accept")]
    page = client.get("/trust/golden").text
    assert "a &lt;hole&gt;" in page and "What to do" in page and "1 of 3 golden parts failed" in page
    assert send_to_api(client, GOOD).status_code == 423


def test_a_check_is_over_after_its_hours_and_with_another_model(it: Service, client: FlaskClient) -> None:
    add_both(it.golden)
    run(client)
    mine, now = it.fingerprint(), datetime.now(UTC)
    assert not it.golden.state(mine, now + timedelta(hours=7.9)).locked
    assert it.golden.state(mine, now + timedelta(hours=8.1)).reason == "over"
    other = fingerprint([("another file", Decision())])
    assert it.golden.state(other).reason == "never"
    moved = replace(it.inspector().metadata.decision, reject_from=0.9)
    assert it.golden.state(fingerprint([(it.inspector().engine.sha256, moved)])).reason == "never"


def test_a_part_that_never_came_out_right_is_not_taken_for_a_changed_model(
    client: FlaskClient, it: Service
) -> None:
    form = {"csrf_token": token(client), "verdict": "reject", "title": "scratch"}
    said = post_page(client, form, GOOD)
    assert "it would not pass: it comes out as accept, " in said
    run(client)
    page = client.get("/trust/golden").text
    assert "Never came out right so far: scratch." in page and "have changed" not in page
    it.golden.remove(1, "admin", "wrong")
    assert "It is checked at the next run" in post_page(client, {**form, "verdict": "accept"}, GOOD)
    run(client)
    with it.store.transaction("write", write=True) as session:
        session.get_one(GoldenRow, 2).verdict = "reject"  # as if the model answered otherwise by now
    run(client)
    page = client.get("/trust/golden").text
    assert "Never came out right" not in page and "have changed" in page


def test_an_altered_or_lost_golden_picture_or_photo_is_found_and_never_shown(
    client: FlaskClient, it: Service
) -> None:
    add_both(it.golden)
    address = "/api/v1/trust/golden/parts/1/photos"
    photo = post_file(client, address, PHOTO, "today.png").get_json()
    assert verify(it.store).ok and verify(it.store).files == 3
    it.golden.file(photo["result"]["photo"]["sha256"]).write_bytes(BAD)
    it.golden.picture(2).unlink()
    found = {(one.kind, one.values["id"], one.values["how"]) for one in verify(it.store).findings}
    assert found == {("file_altered", "1", "today.png"), ("file_missing", "2", "cracked tile")}
    assert client.get(photo["picture"]).status_code == 404
    assert client.get("/trust/golden/parts/2/picture").status_code == 404


def test_an_altered_golden_picture_cannot_pass(it: Service, client: FlaskClient) -> None:
    add_both(it.golden)
    it.golden.picture(1).write_bytes(BAD)
    found = run(client)
    assert found["locked"] and "was altered" in found["check"]["result"]["parts"][0]["error"]


def test_without_the_setting_nothing_is_locked(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    client = app.test_client()
    assert send_to_api(client, GOOD).status_code == 201
    assert client.get("/api/v1/trust/golden").get_json()["required"] is False
    page = client.get("/trust/golden").text
    assert "has not been told when the parts must pass" in page and "<code>FLAWSIGHT_GOLDEN</code>" in page
    close(app)


def test_an_admin_goes_on_with_a_reason_that_stays_on_record(client: FlaskClient, it: Service) -> None:
    before = head(it.store)
    form = {"csrf_token": token(client), "rationale": "short"}
    assert "Say in 10 to 500" in client.post("/trust/golden/override", data=form).text
    assert it.golden.state(it.fingerprint()).locked
    form["rationale"] = "Camera was exchanged, first parts are measured by hand"
    page = client.post("/trust/golden/override", data=form, follow_redirects=True).text
    assert page.count("measured by hand") == 2 and "unlocked" in page
    answer = send_to_api(client, GOOD)
    assert answer.status_code == 201 and "measured by hand" in answer.get_json()["method"]["last_check"]
    assert head(it.store).seq == before.seq + 2 and verify(it.store).ok


def test_operators_run_the_check_but_only_admins_change_the_parts(client: FlaskClient, it: Service) -> None:
    add_both(it.golden)
    accounts = Accounts(it.store)
    accounts.add("root", "admin", "a long pass phrase")
    accounts.add("olga", "operator", "a long pass phrase")
    olga = {"Authorization": f"Bearer {accounts.add_token('olga', 'bench')}"}
    assert client.post("/api/v1/trust/golden/check", headers=olga).status_code == 202
    for address in ("golden/override", "golden/parts", "chain/check"):
        assert client.post(f"/api/v1/trust/{address}", headers=olga, json={}).status_code == 403
    assert client.delete("/api/v1/trust/golden/parts/1?why=x", headers=olga).status_code == 403
    assert post_file(client, "/api/v1/trust/golden/parts/1/photos", PHOTO, "p.png", olga).status_code == 201
    deadline = time.monotonic() + 60
    while it.golden.state(it.fingerprint()).locked and time.monotonic() < deadline:
        time.sleep(0.05)
    last = it.golden.state(it.fingerprint()).last
    assert last and last.by == "olga"


# --- the parts ------------------------------------------------------------------------------------------


def test_a_part_comes_from_the_history_or_an_upload_and_goes(client: FlaskClient, it: Service) -> None:
    it.golden.override(it.fingerprint(), "admin", "to have something in the history")
    number = send_to_api(client, BAD).get_json()["number"]
    proposed = client.get("/trust/golden", query_string={"inspection": number}).text
    assert f'value="{number}"' in proposed and '<option value="reject" selected>' in proposed
    assert client.get("/trust/golden?inspection=INSP-1").status_code == 404
    form = {"csrf_token": token(client), "inspection": number.lower(), "verdict": "reject", "class": ""}
    page = client.post("/trust/golden/parts", data=form, follow_redirects=True).text
    assert "is a golden part now" in page and number in page
    assert "is a golden part already" in client.post("/trust/golden/parts", data=form).text
    assert client.post("/trust/golden/parts", data={**form, "inspection": "INSP-1"}).status_code == 404
    assert client.post("/trust/golden/parts", data={**form, "inspection": ""}).status_code == 400
    address = "/api/v1/trust/golden/parts"
    assert post_file(client, address, b"no image", "x.png", verdict="accept").status_code == 415
    assert post_file(client, address, GOOD, "x.png", verdict="perfect").status_code == 400
    made = post_file(client, address, GOOD, "x.png", verdict="accept", title="smooth")
    assert made.status_code == 201 and made.get_json()["title"] == "smooth"
    assert client.get("/trust/golden/parts/2/picture").mimetype == "image/png"
    assert client.get(f"{address}/2/picture").mimetype == "image/png"
    assert client.get(f"{address}/9/picture").status_code == 404
    assert verify(it.store).ok


def test_an_inspection_whose_image_was_lost_becomes_no_golden_part_and_says_why(
    client: FlaskClient, it: Service
) -> None:
    it.golden.override(it.fingerprint(), "admin", "to have something in the history")
    answer = send_to_api(client, BAD).get_json()
    (it.store.folder / answer["id"] / "upload.bin").unlink()
    said = {"verdict": "reject", "inspection": answer["number"]}
    refused = client.post("/api/v1/trust/golden/parts", data=said)
    assert (refused.status_code, refused.get_json()["code"]) == (503, "record_error")
    assert answer["number"] in refused.get_json()["detail"] and it.golden.parts() == []


def test_a_part_is_removed_with_a_reason_that_stays_on_record(client: FlaskClient, it: Service) -> None:
    add_both(it.golden)
    form = {"csrf_token": token(client)}
    refused = client.post("/trust/golden/parts/1/remove", data=form)
    assert refused.status_code == 400 and "why this part is not to be checked" in refused.text
    assert client.delete("/api/v1/trust/golden/parts/1").status_code == 400 and len(it.golden.parts()) == 2
    form["why"] = "scratched <at> the edge"
    gone = client.post("/trust/golden/parts/1/remove", data=form)
    assert gone.status_code == 303 and [part.title for part in it.golden.parts()] == ["cracked tile"]
    assert client.post("/trust/golden/parts/1/remove", data=form).status_code == 404
    address = "/api/v1/trust/golden/parts/2"
    assert client.delete(address, query_string={"why": "lost"}).status_code == 204
    assert client.delete(address, query_string={"why": "lost"}).status_code == 404
    page = client.get("/trust/golden").text
    assert "smooth tile: scratched &lt;at&gt; the edge" in page
    removed = client.get("/api/v1/trust/golden").get_json()["removed"]
    assert [(one["title"], one["why"]) for one in removed] == [
        ("cracked tile", "lost"), ("smooth tile", "scratched <at> the edge"),
    ]  # fmt: skip
    with it.store.transaction("read") as session:
        last = session.scalars(select(LinkRow).order_by(LinkRow.seq.desc()).limit(1)).one()
    assert (last.kind, last.content["event"], last.content["why"]) == ("golden", "removed", "lost")
    assert verify(it.store).ok


# --- fresh photos -----------------------------------------------------------------------------------------


def test_a_fresh_photo_is_compared_with_what_is_expected_and_what_is_stored(
    client: FlaskClient, it: Service
) -> None:
    add_both(it.golden)
    form = {"csrf_token": token(client)}
    sent = post_file(client, "/trust/golden/parts/1/photos", PHOTO, "today.png", **form)
    assert sent.status_code == 303 and sent.location == "/trust/golden#part-1"
    page = client.get("/trust/golden").text
    assert "The photo of smooth tile came out right." in page and "Photo of smooth tile, right" in page
    assert "A photo came out wrong" not in page
    [mine, other] = client.get("/api/v1/trust/golden").get_json()["parts"]
    assert other["photo"] is None
    photo = mine["photo"]
    assert (photo["kind"], photo["passed"], photo["by"]) == ("photo", True, "this computer")
    figures = photo["result"]["photo"]["figures"]
    assert figures["brightest"]["photo"] < figures["brightest"]["stored"], "there is less light today"
    change = figures["brightest"]["photo"] / figures["brightest"]["stored"] - 1
    assert f"−{-100 * change:.1f}" in page
    assert client.get(photo["picture"]).mimetype == "image/png"
    assert client.get(f"/trust/golden/photos/{photo['id']}/picture").mimetype == "image/png"
    assert client.get("/trust/golden/photos/9/picture").status_code == 404
    assert it.golden.state(it.fingerprint()).locked, "it unlocks nothing"
    assert verify(it.store).ok


def test_a_photo_that_comes_out_wrong_is_said_and_the_latest_counts(client: FlaskClient, it: Service) -> None:
    add_both(it.golden)
    address = "/api/v1/trust/golden/parts/1/photos"
    wrong = post_file(client, address, encoded(cracked(200, 160)), "today.png")
    assert wrong.status_code == 201 and wrong.get_json()["passed"] is False
    page = client.get("/trust/golden").text
    assert "A photo came out wrong" in page and "Photo of smooth tile, wrong" in page
    assert post_file(client, address, PHOTO, "today.png").get_json()["passed"] is True
    assert "A photo came out wrong" not in client.get("/trust/golden").text


def test_what_is_no_fresh_photo_is_refused_and_leaves_nothing(client: FlaskClient, it: Service) -> None:
    add_both(it.golden)
    before = head(it.store)
    form = {"csrf_token": token(client)}
    for image, said in ((GOOD, "This is the stored picture itself"), (b"no image", "not an image")):
        refused = post_file(client, "/trust/golden/parts/1/photos", image, "x.png", **form)
        assert refused.status_code in (400, 415) and said in refused.text
        assert post_file(client, "/api/v1/trust/golden/parts/1/photos", image, "x.png").status_code in (
            400,
            415,
        )
    assert post_file(client, "/api/v1/trust/golden/parts/9/photos", PHOTO, "x.png").status_code == 404
    assert post_file(client, "/trust/golden/parts/1/photos", b"", "", **form).status_code == 400
    it.golden.picture(1).unlink()
    assert post_file(client, "/trust/golden/parts/1/photos", PHOTO, "x.png", **form).status_code == 404
    assert head(it.store) == before


def test_a_photo_that_was_altered_or_inserted_is_found(client: FlaskClient, it: Service) -> None:
    add_both(it.golden)
    check = post_file(client, "/api/v1/trust/golden/parts/1/photos", PHOTO, "x.png").get_json()
    with it.store.transaction("write", write=True) as session:
        row = session.get_one(CheckRow, check["id"])
        kept = dict(row.result)
        row.result = {**kept, "photo": {**kept["photo"], "name": "yesterday.png"}}
    [found] = verify(it.store).findings
    assert found.kind == "altered"
    with it.store.transaction("write", write=True) as session:
        row = session.get_one(CheckRow, check["id"])
        row.result = kept
        copied = {column.key: getattr(row, column.key) for column in CheckRow.__table__.columns}
        session.add(CheckRow(**{**copied, "id": check["id"] + 1}))
    [found] = verify(it.store).findings
    assert found.kind == "inserted"


def test_only_one_check_runs_at_a_time_and_a_dead_one_is_replaced(
    it: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_both(it.golden)
    it.golden.checks.begin("golden", "another process")
    assert client.post("/api/v1/trust/golden/check").status_code == 409
    with pytest.raises(CheckRunning):
        it.golden.checks.begin("golden", "me")
    monkeypatch.setattr("flawsight.records.checks.DEAD", -DEAD)
    assert it.golden.checks.begin("golden", "me") == 2


# --- the chain on its page ------------------------------------------------------------------------------


def test_a_check_that_ends_while_it_is_asked_for_is_not_told_as_passed_and_locked(
    client: FlaskClient, it: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_both(it.golden)
    running, latest = it.golden.checks.begin("golden", "A. Kern", it.fingerprint()), it.golden.checks.latest

    def ends_now(*kinds: str) -> Check | None:
        it.golden.checks.finish(running, True, {"parts": []})
        return latest(*kinds)

    monkeypatch.setattr(it.golden.checks, "latest", ends_now)
    found = client.get("/api/v1/trust/golden").get_json()
    assert (found["check"]["passed"], found["locked"]) == (True, False)


def test_the_page_starts_a_check_and_names_what_it_found(client: FlaskClient, it: Service) -> None:
    it.golden.override(it.fingerprint(), "admin", "to have something in the history")
    answer = send_to_api(client, BAD).get_json()
    assert "has not been checked yet" in client.get("/trust").text
    form = {"csrf_token": token(client)}
    assert client.post("/trust/check", data=form).location == "/trust"
    assert ended(client, "chain")["check"]["passed"] is True
    assert "All is as it was filed" in client.get("/trust").text
    upload = it.store.folder / answer["id"] / "upload.bin"
    upload.unlink()  # it may be the same file as the picture it became
    upload.write_bytes(b"x")
    client.post("/trust/check", data=form)
    found = ended(client, "chain")["check"]
    assert found["passed"] is False and found["result"]["count"] == 1
    page = client.get("/trust").text
    assert f"Inspection {answer['number']}: the file upload was altered." in page and "What to do" in page


def test_a_head_is_saved_and_looked_up_later(client: FlaskClient, it: Service) -> None:
    text = client.get("/trust/head.txt").text
    kept = next(line for line in text.splitlines() if ":" in line and line[0].isdigit())
    assert kept == str(head(it.store)) and f"verify --head {kept}" in text
    assert "The chain holds this head" in client.get("/trust", query_string={"head": kept}).text
    other = str(Head(1, "0" * 64))
    assert "does not hold this head" in client.get("/trust", query_string={"head": other}).text
    assert "64 hexadecimal digits" in client.get("/trust?head=zebra").text


def test_the_last_check_of_the_model_in_use_is_found_behind_any_number_of_others(store: Store) -> None:
    golden = GoldenParts(store, Schedule.parse("every 8 h"))
    golden.override("in use", "Ada", "The lamp was replaced today.")
    for _ in range(60):
        golden.override("another", "Ada", "Tried with other thresholds.")
    assert "set aside by Ada: The lamp was replaced" in golden.require("in use")
