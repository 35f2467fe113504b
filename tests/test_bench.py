"""What is known about the part goes with its inspection and is remembered for the next one."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader
from web_client import cracked, encoded, post_file, token

from flawsight.records import Store
from flawsight.records.lot import Terms
from flawsight.records.lots import Lots
from flawsight.web.bench import clean

PART = {
    "part_number": "MT-4711",
    "part_revision": "C",
    "lot": "L2026-31",
    "serial": "000125",
    "site": "Ulm",
    "line": "2",
    "station": "Bench 3",
    "inspector": "Änne Kern",
    "inspection_type": "Incoming",
}


def test_what_the_form_says_is_on_the_page_in_the_json_and_in_the_report(client: FlaskClient) -> None:
    fields = {**PART, "csrf_token": token(client)}
    address = post_file(client, "/inspections", encoded(cracked()), "part.png", **fields).location
    page = client.get(address).text
    report = PdfReader(BytesIO(client.get(f"{address}/report.pdf").data)).pages[0].extract_text()
    for value in PART.values():
        assert value in page and value in report
    assert client.get(f"{address}/inspection.json").json["context"] == PART  # type: ignore[index]


def test_a_program_sends_the_same_fields_and_gets_them_back(client: FlaskClient) -> None:
    answer = post_file(client, "/api/v1/inspections", encoded(cracked()), "part.png", lot=" L1 ", serial="")
    assert answer.json is not None and answer.json["context"] == {"lot": "L1"}
    plain = post_file(client, "/api/v1/inspections", encoded(cracked()), "part.png")
    assert plain.json is not None and "context" not in plain.json


def test_the_form_is_filled_in_again_next_time(client: FlaskClient) -> None:
    fields = {**PART, "csrf_token": token(client)}
    post_file(client, "/inspections", encoded(cracked()), "part.png", **fields)
    page = client.get("/").text
    for key, value in PART.items():
        assert (f'value="{value}"' in page) == (key != "serial"), key


def test_a_serial_number_is_never_carried_to_the_next_part(client: FlaskClient) -> None:
    client.post("/bench/context", data={"csrf_token": token(client), "lot": "L9", "serial": "SER-1"})
    assert "SER-1" not in client.get("/").text and 'value="L9"' in client.get("/bench/camera").text
    client.set_cookie(
        "flawsight_bench", quote('{"serial":"SER-2","lot":"L9"}')
    )  # as earlier versions kept it
    page = client.get("/").text
    assert "SER-2" not in page and 'value="L9"' in page


def test_a_change_is_remembered_at_once_and_an_emptied_field_too(client: FlaskClient) -> None:
    kept = {"csrf_token": token(client), "lot": "L9"}
    assert client.post("/bench/context", data=kept).status_code == 204
    assert 'value="L9"' in client.get("/").text
    client.post("/bench/context", data={**kept, "lot": ""})
    assert 'value="L9"' not in client.get("/").text


def test_control_signs_are_left_out(client: FlaskClient) -> None:
    sent = post_file(client, "/api/v1/inspections", encoded(cracked()), "part.png", lot="A\x00\nB")
    assert sent.json is not None and sent.json["context"] == {"lot": "AB"}


@pytest.mark.parametrize("field", PART)
def test_a_text_that_is_too_long_is_refused_and_never_cut(
    client: FlaskClient, store: Store, field: str
) -> None:
    fits = post_file(client, "/api/v1/inspections", encoded(cracked()), "a.png", **{field: " " + "9" * 80})
    assert fits.status_code == 201 and fits.json is not None and fits.json["context"] == {field: "9" * 80}
    sent = post_file(client, "/api/v1/inspections", encoded(cracked()), "a.png", **{field: "9" * 81})
    assert sent.status_code == 400 and sent.json is not None and sent.json["code"] == "bad_context"
    assert sent.json["detail"] == f"'{field}' has 81 characters. Shorten it to 80."
    form = {"csrf_token": token(client), field: "9" * 200}
    page = post_file(client, "/inspections", encoded(cracked()), "a.png", **form)
    assert page.status_code == 400 and "has 200 characters. Shorten it to 80." in page.text
    assert client.post("/bench/context", data=form).status_code == 400
    assert store.count() == 1


@pytest.mark.parametrize("value", ["", "nonsense", "%5B1%5D", "%7B%22lot%22%3A%7B%7D%7D", "%22"])
def test_a_strange_cookie_is_forgotten(client: FlaskClient, value: str) -> None:
    client.set_cookie("flawsight_bench", value)
    assert client.get("/").status_code == 200


# --- the lot that is named ------------------------------------------------------------------------------


def lot(lots: Lots, number: str, part: str = "") -> int:
    limits = {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}
    return lots.open(Terms(number, 90, "I", limits, part), "Olga").id


@pytest.mark.parametrize("page", ["/", "/bench/camera"])
def test_the_bench_says_that_its_lot_was_closed_and_offers_others(
    client: FlaskClient, store: Store, page: str
) -> None:
    lots = Lots(store)
    kept = {"csrf_token": token(client), "lot": "l-1", "part_number": "P-7"}
    client.post("/bench/context", data=kept)
    assert (
        "no lot counts it" not in client.get(page).text
    )  # where nobody uses lots, it is a text like any other
    lot(lots, "L-2", "P-7")
    lot(lots, "L-3")
    assert "There is no lot l-1." in client.get(page).text
    first = lot(lots, "L-1")
    assert (
        "no lot counts it" not in client.get(page).text and "Goes into the open lot" in client.get(page).text
    )
    lots.close(first, "withdraw", "Ines Kern", "Wrong drawing.")
    said = client.get(page).text
    assert "Lot L-1 is closed." in said and "Withdrawn</a>, Ines Kern" in said
    assert 0 < said.index(">Lot L-2") < said.index(">Lot L-3")  # that of the same part first
    assert 'id="lot-choice" method="post"' in said
    again = lot(lots, "L-1")  # the number may come again
    assert (
        f'href="/lots/{again}"' in client.get(page).text and "Lot L-1 is closed" not in client.get(page).text
    )


def test_the_lot_is_left_out_and_the_rest_stays(client: FlaskClient) -> None:
    kept = {"csrf_token": token(client), "lot": "L-1", "station": "Bench 3"}
    client.post("/bench/context", data=kept)
    done = client.post("/bench/lot/leave", data={"csrf_token": kept["csrf_token"]})
    assert (done.status_code, done.location) == (303, "/")
    page = client.get("/").text
    assert 'value="L-1"' not in page and 'value="Bench 3"' in page
    assert client.post("/bench/lot/leave").status_code == 400


def test_the_note_about_a_lot_can_be_asked_for_again(client: FlaskClient, store: Store) -> None:
    lot(Lots(store), "L-1")
    assert "Goes into the open lot" in client.get("/bench/lot?lot=L-1").text
    assert "There is no lot &lt;b&gt;." in client.get("/bench/lot?lot=<b>").text
    assert client.get("/bench/lot?lot=").text.strip() == ""


def test_what_was_typed_beside_a_picture_that_cannot_be_used_is_remembered_too(client: FlaskClient) -> None:
    sent = post_file(
        client, "/inspections", b"nothing", "x.png", csrf_token=token(client), lot="L-7", serial="S-1"
    )
    assert sent.status_code == 415
    page = client.get("/").text
    assert 'value="L-7"' in page and 'value="S-1"' not in page


def test_remembering_needs_the_form_token(client: FlaskClient) -> None:
    assert client.post("/bench/context", data={"lot": "L9"}).status_code == 400


def test_what_nobody_said_is_no_text() -> None:
    assert clean({"lot": "L-1", "serial": None, "part_number": ""}) == {"lot": "L-1"}
