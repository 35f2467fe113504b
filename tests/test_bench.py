"""What is known about the part goes with its inspection and is remembered for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from web_client import close, cracked, encoded, post_file, tiny_app, token

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


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = tiny_app(tmp_path)
    yield app
    close(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


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
    for value in PART.values():
        assert f'value="{value}"' in page


def test_a_change_is_remembered_at_once_and_an_emptied_field_too(client: FlaskClient) -> None:
    kept = {"csrf_token": token(client), "lot": "L9"}
    assert client.post("/bench/context", data=kept).status_code == 204
    assert 'value="L9"' in client.get("/").text
    client.post("/bench/context", data={**kept, "lot": ""})
    assert 'value="L9"' not in client.get("/").text


def test_control_signs_and_endless_text_are_cut(client: FlaskClient) -> None:
    sent = post_file(
        client, "/api/v1/inspections", encoded(cracked()), "part.png", lot="A\x00\nB", serial="9" * 500
    )
    assert sent.json is not None
    assert sent.json["context"] == {"lot": "AB", "serial": "9" * 80}


@pytest.mark.parametrize("value", ["", "nonsense", "%5B1%5D", "%7B%22lot%22%3A%7B%7D%7D", "%22"])
def test_a_strange_cookie_is_forgotten(client: FlaskClient, value: str) -> None:
    client.set_cookie("flawsight_bench", value)
    assert client.get("/").status_code == 200


def test_remembering_needs_the_form_token(client: FlaskClient) -> None:
    assert client.post("/bench/context", data={"lot": "L9"}).status_code == 400
