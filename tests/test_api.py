"""The JSON API: what programs send and get."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from web_client import (
    PROBLEM_KEYS,
    animated,
    bomb,
    close,
    cracked,
    encoded,
    post_file,
    send_to_api,
    settings_in,
    surface,
    tiny_app,
)

from flawsight.records import Store
from flawsight.web import create_app, problems

KINDS = {"original", "heatmap", "heat_layer", "boxes", "edges"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = tiny_app(tmp_path, max_upload_mb=1, max_pixels=1_000_000)
    yield app
    close(app)


def test_a_crack_is_answered_with_201_the_inspection_and_links(client: FlaskClient) -> None:
    data = encoded(cracked())
    response = send_to_api(client, data, "tile 7.png")
    body = response.get_json()
    assert response.status_code == 201
    assert body["schema"] == "flawsight.inspection/1"
    assert (body["verdict"], body["predicted_class"]) == ("reject", "MT_Crack")
    assert body["image"] == {
        "name": "tile 7.png",
        "path": None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": 160,
        "height": 128,
    }
    assert body["number"].startswith("INSP-") and body["created_at"].endswith("+00:00")
    assert set(body["links"]["pictures"]) == KINDS
    assert response.headers["Location"] == f"/api/v1/inspections/{body['id']}"


def test_every_link_leads_to_what_it_names(client: FlaskClient) -> None:
    links = send_to_api(client, encoded(cracked())).get_json()["links"]
    assert client.get(links["page"]).mimetype == "text/html"
    pdf = client.get(links["pdf"])
    assert (pdf.mimetype, pdf.data[:5]) == ("application/pdf", b"%PDF-")
    assert client.get(links["json"]).get_json()["links"] == links
    pictures = [client.get(link) for link in links["pictures"].values()]
    assert all(
        picture.status_code == 200 and picture.mimetype in ("image/png", "image/jpeg") for picture in pictures
    )
    assert len({picture.data for picture in pictures}) == len(KINDS)


def test_get_gives_the_same_inspection_again(client: FlaskClient) -> None:
    created = send_to_api(client, encoded(cracked()))
    again = client.get(created.headers["Location"])
    assert (again.status_code, again.get_json()) == (200, created.get_json())


def test_what_was_filed_is_there_after_a_restart(app: Flask, tmp_path: Path) -> None:
    created = send_to_api(app.test_client(), encoded(cracked())).get_json()
    close(app)
    restarted = create_app(settings_in(tmp_path))  # this one has no model at all
    client = restarted.test_client()
    assert client.get(created["links"]["self"]).get_json() == created
    for link in (created["links"]["page"], created["links"]["pdf"], *created["links"]["pictures"].values()):
        assert client.get(link).status_code == 200
    close(restarted)


def test_links_never_repeat_the_name_the_asker_gave_the_server(tmp_path: Path) -> None:
    app = tiny_app(tmp_path, host="0.0.0.0", insecure=True)
    response = send_to_api(app.test_client(), encoded(cracked()), Host="evil.example")
    assert response.status_code == 201
    assert "evil" not in response.text + str(response.headers)
    close(app)


ODD_BUT_RIGHT = {
    "CMYK": encoded(cracked(), "JPEG", "CMYK"),
    "16-bit": encoded(cracked().astype(np.uint16) * 257),
    "alpha": encoded(cracked(), "PNG", "RGBA"),
    "palette": encoded(cracked(), "PNG", "P"),
    "animated": animated(),
    "TIFF": encoded(cracked(), "TIFF"),
    "WebP": encoded(cracked(), "WEBP"),
}


@pytest.mark.parametrize("kind", ODD_BUT_RIGHT)
def test_an_unusual_image_gets_the_same_answer(client: FlaskClient, kind: str) -> None:
    response = send_to_api(client, ODD_BUT_RIGHT[kind], "part.bin")
    assert response.status_code == 201
    assert response.get_json()["predicted_class"] == "MT_Crack"


BAD = {
    "not an image": (b"<html>hello</html>", 415, "not_an_image", "PNG"),
    "truncated": (encoded(cracked())[:400], 415, "not_an_image", "ends early"),
    "empty": (b"", 400, "empty_upload", "empty"),
    "bomb": (bomb(), 413, "image_too_large", "pixels"),
    "many pixels": (encoded(np.zeros((1001, 1000), np.uint8)), 413, "image_too_large", "1,000,000"),
    "over the limit": (bytes(2**21), 413, "too_large", "1 MiB"),
    "just over the limit": (bytes(2**20 + 1), 413, "image_too_large", "MiB"),
    "a picture of commands": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        415,
        "not_an_image",
        "PNG",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_gets_its_message_and_the_app_goes_on(client: FlaskClient, kind: str) -> None:
    data, status, code, word = BAD[kind]
    response = send_to_api(client, data)
    assert response.status_code == status
    assert set(response.get_json()) == PROBLEM_KEYS
    assert response.get_json()["code"] == code
    assert word in response.get_json()["detail"]
    assert send_to_api(client, encoded(cracked())).status_code == 201


def test_a_problem_is_one_of_rfc_9457_and_its_type_is_a_page_that_says_what_to_do(
    client: FlaskClient,
) -> None:
    response = client.get("/api/v1/inspections/none")
    assert response.mimetype == "application/problem+json"
    assert response.get_json() == {
        "type": "/problems/not_found",
        "title": "There is nothing here",
        "status": 404,
        "detail": "There is no such inspection. Look for it in the history, or inspect the part again.",
        "instance": "/api/v1/inspections/none",
        "code": "not_found",
    }
    page = client.get("/problems/not_found")
    assert page.status_code == 200 and "Check the address" in page.text and "not_found" in page.text


def test_every_code_has_its_page_and_an_invented_one_has_none(client: FlaskClient) -> None:
    for code, status in problems.known().items():
        page = client.get(f"/problems/{code}")
        assert page.status_code == 200 and f"Error {status}" in page.text, code
    assert client.get("/problems/invented").status_code == 404


def test_codes_of_one_status_are_listed_under_it() -> None:
    assert {problems.PROBLEMS[code][0] for code in problems.USUAL.values()} == set(problems.USUAL)
    assert all(problems.known()[code] == status for code, (status, *_) in problems.PROBLEMS.items())


def test_a_request_without_the_field_is_told_which_one(client: FlaskClient) -> None:
    response = client.post("/api/v1/inspections", data={"image": (io.BytesIO(encoded(cracked())), "a.png")})
    assert response.status_code == 400
    assert "'file'" in response.get_json()["detail"]


def test_a_body_that_is_no_form_is_told_so(client: FlaskClient) -> None:
    response = client.post("/api/v1/inspections", json={"file": "part.png"})
    assert (response.status_code, response.get_json()["code"]) == (400, "empty_upload")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        (r"..\\..\\boot.ini", "boot.ini"),
        (r"C:\\photos\\part 1.jpg", "part 1.jpg"),
        ("..", ".."),
        ("a\tb\u202ec.png", "abc.png"),
        ("x" * 500 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_clients_file_name_is_shown_and_never_followed(
    client: FlaskClient, tmp_path: Path, sent: str, shown: str
) -> None:
    before = {path for path in tmp_path.rglob("*") if "instance" not in path.parts}
    response = send_to_api(client, encoded(cracked()), sent)
    assert response.status_code == 201
    assert response.get_json()["image"]["name"] == shown
    assert {path for path in tmp_path.rglob("*") if "instance" not in path.parts} == before


@pytest.mark.parametrize("wrong", ["0" * 32, "1", "..%2f..%2fsecret", "' OR 1=1 --", "Ä"])
def test_a_wrong_id_is_not_found(client: FlaskClient, wrong: str) -> None:
    response = client.get(f"/api/v1/inspections/{wrong}")
    assert response.status_code == 404
    assert response.get_json()["code"] == "not_found"


def test_an_unknown_address_and_a_wrong_method_answer_in_json(client: FlaskClient) -> None:
    assert client.get("/api/v2/anything").get_json()["code"] == "not_found"
    wrong = client.delete("/api/v1/inspections")
    assert (wrong.status_code, wrong.get_json()["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["Allow"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:1"},
    ],
)
def test_another_site_cannot_make_a_browser_inspect(client: FlaskClient, headers: dict[str, str]) -> None:
    response = send_to_api(client, encoded(cracked()), **headers)
    assert (response.status_code, response.get_json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_our_own_page_may_use_the_api(client: FlaskClient, headers: dict[str, str]) -> None:
    assert send_to_api(client, encoded(cracked()), **headers).status_code == 201


def test_without_a_model_the_api_says_how_to_get_one_and_takes_it_when_it_comes(
    tmp_path: Path, tiny_model: Path
) -> None:
    settings = settings_in(tmp_path)
    app = create_app(settings)
    client = app.test_client()
    response = send_to_api(client, encoded(cracked()))
    assert (response.status_code, response.get_json()["code"]) == (503, "bad_model")
    assert "python training.py" in response.get_json()["detail"]
    assert client.get("/readyz").status_code == 503
    settings.model.write_bytes(tiny_model.read_bytes())
    assert send_to_api(client, encoded(cracked())).get_json()["predicted_class"] == "MT_Crack"
    assert client.get("/readyz").status_code == 200
    close(app)


def test_readiness_names_the_model(client: FlaskClient) -> None:
    body = client.get("/readyz").get_json()
    assert body["status"] == "ok"
    assert body["model"]["name"] == "tiny" and len(body["model"]["sha256"]) == 64


def test_readiness_notices_a_lost_database(app: Flask, tmp_path: Path) -> None:
    close(app)
    for file in (tmp_path / "instance").glob("flawsight.db*"):
        file.unlink()
    response = app.test_client().get("/readyz")
    assert (response.status_code, response.get_json()["status"]) == (503, "unavailable")


def test_red_stays_red(client: FlaskClient) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    links = send_to_api(client, encoded(red)).get_json()["links"]
    with Image.open(io.BytesIO(client.get(links["pictures"]["original"]).data)) as picture:
        assert picture.convert("RGB").getpixel((5, 5)) == (200, 0, 0)


def test_a_large_photo_is_stored_as_jpeg_and_served_as_such(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    client = app.test_client()
    links = send_to_api(client, encoded(surface(2200, 2000), "TIFF"), "part.tif").get_json()["links"]
    served = client.get(links["pictures"]["original"])
    assert served.mimetype == "image/jpeg" and served.data[:2] == b"\xff\xd8"
    assert "original.jpg" in served.headers["Content-Disposition"]
    assert client.get(links["pictures"]["heat_layer"]).mimetype == "image/png"
    close(app)


def test_many_at_once_are_all_answered_and_numbered_apart(app: Flask) -> None:
    data = encoded(cracked())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send_to_api(app.test_client(), data).get_json(), range(16)))
    assert len({answer["number"] for answer in answers}) == len({answer["id"] for answer in answers}) == 16


def test_a_field_that_a_program_misspelled_is_named_before_anything_is_filed(
    client: FlaskClient, store: Store
) -> None:
    sent = post_file(client, "/api/v1/inspections", encoded(cracked()), "part.png", lott="L-1")
    said = sent.get_json()["detail"]
    assert sent.status_code == 400 and "no parameter 'lott'" in said and "lot" in said
    assert store.count() == 0
    for address in ("/api/v1/lots", f"/api/v1/inspections/{'0' * 32}/reviews"):
        answer = client.post(address, json={"rational": "x"})
        assert answer.status_code == 400 and "'rational'" in answer.get_json()["detail"]
