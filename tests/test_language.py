"""Pages speak the reader's language; what is stored and sent to programs stays English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from web_client import bomb, close, cracked, encoded, post_file, send_to_api, tiny_app, token

from flawsight import i18n
from flawsight.errors import ImageTooLarge
from flawsight.imaging import MAX_PIXELS

BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = tiny_app(tmp_path_factory.mktemp("language"))
    yield app
    close(app)


def spoken(page: str) -> str:
    found = re.search(r'<html lang="(\w+)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("de-AT,de;q=0.9,en;q=0.5", "de"), ("id", "id"), ("fr, en;q=0.5", "en"), ("fr", "en"), ("", "en")],
)
def test_a_browser_is_answered_in_the_language_it_asks_for(
    client: FlaskClient, asked: str, answered: str
) -> None:
    assert spoken(client.get("/", headers={**BROWSER, "Accept-Language": asked}).text) == answered


def test_a_choice_on_the_page_beats_the_browser_and_leads_back_to_the_page(client: FlaskClient) -> None:
    form = {"csrf_token": token(client), "language": "id", "next": "/history?lot=7"}
    response = client.post("/language", data=form)
    assert response.status_code == 303 and response.location == "/history?lot=7"
    assert spoken(client.get("/", headers={**BROWSER, "Accept-Language": "de"}).text) == "id"


def test_a_language_nobody_speaks_here_is_not_kept(client: FlaskClient) -> None:
    client.post(
        "/language", data={"csrf_token": token(client), "language": "../x", "next": "//elsewhere.example"}
    )
    assert client.get_cookie("flawsight_language") is None


def test_the_choice_never_leads_to_another_site(client: FlaskClient) -> None:
    form = {"csrf_token": token(client), "language": "de", "next": "//elsewhere.example"}
    assert client.post("/language", data=form).location == "/"


def test_one_readers_language_does_not_stick_to_the_next(client: FlaskClient, app: Flask) -> None:
    client.get("/", headers={**BROWSER, "Accept-Language": "de"})
    assert i18n.language() == "en"
    assert spoken(app.test_client().get("/", headers=BROWSER).text) == "en"


def test_page_and_pdf_are_in_the_readers_language_and_the_record_is_not(client: FlaskClient) -> None:
    filed = send_to_api(client, encoded(cracked())).get_json()
    client.set_cookie("flawsight_language", "de")
    page = client.get(f"/inspections/{filed['id']}").text
    assert "ZURÜCKWEISEN" in page and "Riss" in page
    assert "Die Fehlerwahrscheinlichkeit von" in page and filed["reason"] not in page
    assert client.get(f"/api/v1/inspections/{filed['id']}").get_json()["reason"] == filed["reason"]
    pdf = PdfReader(BytesIO(client.get(f"/inspections/{filed['id']}/report.pdf").data))
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert "Prüfbericht" in text and "Verwendungsentscheidung" in text and "Inspection report" not in text
    assert pdf.trailer["/Root"]["/Lang"] == "de"


def test_an_inspection_asked_for_in_german_is_filed_in_english(client: FlaskClient) -> None:
    client.set_cookie("flawsight_language", "de")
    filed = send_to_api(client, encoded(cracked())).get_json()
    assert filed["reason"].startswith("The defect probability of")


def test_an_error_is_said_in_the_readers_language_and_to_programs_in_english(client: FlaskClient) -> None:
    asked = {"Accept-Language": "de"}
    told = send_to_api(client, b"no image", Accept_Language="de").get_json()
    assert told["detail"].startswith("The file is not an image")
    page = client.get("/history?min=much", headers={**BROWSER, **asked}).text
    assert "ist keine Prozentzahl" in page


def test_numbers_of_an_error_are_written_in_the_language_it_is_said_in(client: FlaskClient) -> None:
    limit = f"{MAX_PIXELS:,}"
    told = send_to_api(client, bomb(8_000), Accept_Language="de").get_json()
    assert f"the limit is {limit} pixels" in told["detail"]
    sent = post_file(
        client, "/inspections", bomb(8_000), "a.png", {**BROWSER, "Accept-Language": "de"},
        csrf_token=token(client),
    )  # fmt: skip
    assert sent.status_code == 413 and limit not in sent.text and limit.replace(",", ".") in sent.text
    with i18n.speaking("de"):
        error = ImageTooLarge("%(side)s pixels", side=i18n.Figure(65_500))
    assert (str(error), error.said()) == ("65,500 pixels", "65,500 pixels")
    with i18n.speaking("id"):
        assert error.said() == "65.500 pixels"


def test_the_exported_table_is_english_in_every_language(client: FlaskClient) -> None:
    send_to_api(client, encoded(cracked()))
    client.set_cookie("flawsight_language", "id")
    assert ",Crack," in client.get("/history/history.csv").text


def test_work_handed_to_other_threads_speaks_the_language_of_the_one_that_asked() -> None:
    with ThreadPoolExecutor(2) as pool:
        with i18n.speaking("de"):
            assert (
                list(pool.map(i18n.in_this_language(i18n.gettext), ["Rejected"] * 4))
                == ["Zurückgewiesen"] * 4
            )
        assert list(pool.map(i18n.gettext, ["Rejected"] * 4)) == ["Rejected"] * 4


@pytest.mark.parametrize(("language", "said"), [("en", "1,234.5"), ("de", "1.234,5"), ("id", "1.234,5")])
def test_numbers_are_written_as_is_the_custom(language: str, said: str) -> None:
    with i18n.speaking(language):
        assert i18n.number(1234.5, 1) == said


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "5 Nov 2026, 09:30"), ("de", "5. Nov. 2026, 09:30"), ("id", "5 Nov 2026, 09.30")],
)
def test_dates_are_written_as_is_the_custom(language: str, said: str) -> None:
    with i18n.speaking(language):
        assert i18n.day_and_time(datetime(2026, 11, 5, 9, 30, tzinfo=UTC)) == said
