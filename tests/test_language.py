"""Pages speak the reader's language; what is stored and sent to programs stays English."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from web_client import close, tiny_app, token

from flawsight import i18n

BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = tiny_app(tmp_path_factory.mktemp("language"))
    yield app
    close(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


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
