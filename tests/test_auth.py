"""Signing in: who gets in, who does not, how often one may guess, and what each role may do."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from factories import make_inspection, make_pictures
from flask import Flask
from flask.testing import FlaskClient
from web_client import close, cracked, encoded, send_form, send_to_api, settings_in, tiny_app
from werkzeug.test import TestResponse

from flawsight.cli import main
from flawsight.errors import NotFound, SettingsError
from flawsight.records import Accounts, Store
from flawsight.records.accounts import AccountError, TooManyAttempts, WrongPassword
from flawsight.records.tables import SessionRow
from flawsight.web import create_app
from flawsight.web.auth import requires

PASSWORD = "correct horse battery"
PAGE = {"Accept": "text/html"}
OUTSIDE = {"host": "0.0.0.0"}


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, **time: float) -> None:
        self.time += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    with closing(Store(tmp_path / "instance")) as store:
        accounts = Accounts(store, clock)
        accounts.add("anna", "admin", PASSWORD)
        yield accounts


@pytest.fixture(scope="session")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with one user of each role; made once, since hashing takes its time."""
    folder = tmp_path_factory.mktemp("staffed")
    with closing(Store(folder)) as store:
        accounts = Accounts(store)
        for name, role in (("anna", "admin"), ("ines", "inspector"), ("otto", "operator")):
            accounts.add(name, role, PASSWORD)
    return folder


@pytest.fixture
def app(tmp_path: Path, staffed: Path) -> Iterator[Flask]:
    """A server that others can reach, with one user of each role."""
    shutil.copytree(staffed, tmp_path / "instance")
    app = tiny_app(tmp_path, **OUTSIDE)
    yield app
    close(app)


def form_token(client: FlaskClient, page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page, headers=PAGE).text)
    assert found, page
    return found[1]


def send(client: FlaskClient, page: str, **fields: str) -> TestResponse:
    """Open ``page``, fill its form and send it."""
    return client.post(page, data={"csrf_token": form_token(client, page), **fields})


def sign_in(client: FlaskClient, name: str = "anna", password: str = PASSWORD, **more: str) -> TestResponse:
    return send(client, "/sign-in", name=name, password=password, **more)


# --- starting -----------------------------------------------------------------------------------------


def test_a_server_that_others_can_reach_does_not_start_without_a_user(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"users add NAME.*--insecure"):
        create_app(settings_in(tmp_path, **OUTSIDE))


@pytest.mark.parametrize(
    "given",
    [{"insecure": True}, {"password": PASSWORD}, {"token": "a" * 20}],
    ids=lambda given: next(iter(given)),
)
def test_it_starts_with_a_password_a_token_or_on_demand_insecure(
    tmp_path: Path, given: dict[str, object]
) -> None:
    close(tiny_app(tmp_path, **OUTSIDE, **given))


def test_behind_a_proxy_it_counts_as_reachable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="users add"):
        create_app(settings_in(tmp_path, behind_https=True))


def test_the_very_command_refuses_with_the_reason_and_without_a_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["serve", "--host", "0.0.0.0", "--instance", str(tmp_path / "instance")]
    )
    assert result.exit_code == 1
    assert "FLAWSIGHT_PASSWORD" in result.output and "Traceback" not in result.output


def test_a_weak_password_in_the_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FLAWSIGHT_PASSWORD cannot be used: A password has 10"):
        create_app(settings_in(tmp_path, password="short"))


def test_at_the_bench_nobody_has_to_sign_in(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    client = app.test_client()
    assert client.get("/").status_code == client.get("/users").status_code == 200
    assert send_to_api(client, encoded(cracked())).status_code == 201
    assert "Sign out" not in client.get("/").text
    close(app)


def test_a_bench_server_that_another_program_opens_to_the_network_stays_closed(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    stranger = {"REMOTE_ADDR": "192.168.1.7"}
    assert app.test_client().get("/", environ_base=stranger).status_code == 403
    close(app)


def test_the_first_user_closes_the_bench_at_once(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    client = app.test_client()
    assert "There are none" in client.get("/users").text
    assert send(client, "/users", name="Anna", role="admin", password=PASSWORD).status_code == 303
    assert client.get("/", headers=PAGE).headers["Location"] == "/sign-in"
    assert send_to_api(client, encoded(cracked())).status_code == 401
    assert sign_in(client).status_code == 303
    close(app)


def test_nobody_can_take_over_an_insecure_server(tmp_path: Path) -> None:
    app = tiny_app(tmp_path, **OUTSIDE, insecure=True)
    client = app.test_client()
    assert send_form(client, encoded(cracked())).status_code == 303
    assert client.get("/users").status_code == 403
    close(app)


# --- strangers ----------------------------------------------------------------------------------------


def test_a_stranger_reaches_nothing_but_the_sign_in_page(app: Flask, client: FlaskClient) -> None:
    """Every address there is, also those that will be added."""
    open_to_all = {"/sign-in", "/healthz", "/readyz", "/language", "/problems/<code>"}
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static" or rule.rule in open_to_all:
            continue
        address = re.sub(r"<int:\w+>", "1", rule.rule)
        address = re.sub(r"<[^>]+>", "0" * 32, address)
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            assert client.open(address, method=method).status_code == 401, f"{method} {address}"


def test_a_stranger_is_led_to_the_page_they_wanted(client: FlaskClient) -> None:
    refused = client.get("/inspections?verdict=reject", headers=PAGE)
    assert (refused.status_code, refused.headers["Location"]) == (
        303,
        "/sign-in?next=%2Finspections%3Fverdict%3Dreject",
    )
    assert sign_in(client, next="/inspections?verdict=reject").headers["Location"] == (
        "/inspections?verdict=reject"
    )


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "\\\\evil",
        "",
        "/a\r\nX: y",
        "http:evil",
        "//[",
    ],
)
def test_signing_in_never_leads_to_another_site(client: FlaskClient, target: str) -> None:
    assert sign_in(client, next=target).headers["Location"] == "/"


def test_programs_are_told_to_send_a_token(client: FlaskClient) -> None:
    refused = send_to_api(client, encoded(cracked()))
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.get_json()["code"] == "sign_in_needed"


def test_health_is_told_to_everybody(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200


# --- signing in and out -------------------------------------------------------------------------------


def test_the_right_password_opens_and_signing_out_closes(app: Flask, client: FlaskClient) -> None:
    assert sign_in(client, "Anna ").status_code == 303
    assert "Sign out" in client.get("/").text
    held = client.get_cookie("flawsight")
    assert held
    out = client.post("/sign-out", data={"csrf_token": form_token(client, "/")})
    assert (out.status_code, out.headers["Location"]) == (303, "/sign-in")
    thief = app.test_client()
    thief.set_cookie("flawsight", held.value)
    assert thief.get("/").status_code == 401, "a copied cookie must be useless after signing out"


@pytest.mark.parametrize(("name", "password"), [("anna", "wrong password"), ("nobody", PASSWORD), ("", "")])
def test_the_wrong_ones_are_refused_in_the_same_words(client: FlaskClient, name: str, password: str) -> None:
    refused = sign_in(client, name, password)
    assert refused.status_code == 401 and "The name or the password is wrong." in refused.text


def test_what_was_typed_is_escaped_and_the_password_never_comes_back(client: FlaskClient) -> None:
    page = sign_in(client, '"><script>alert(1)</script>', "my secret password").text
    assert "<script>alert" not in page and "my secret password" not in page


def test_the_sign_in_form_itself_cannot_be_sent_from_elsewhere(client: FlaskClient) -> None:
    sent = {"name": "anna", "password": PASSWORD}
    assert client.post("/sign-in", data=sent).status_code == 400
    sent["csrf_token"] = form_token(client, "/sign-in")
    assert client.post("/sign-in", data=sent, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_cookie_planted_before_signing_in_gets_no_session(app: Flask, client: FlaskClient) -> None:
    form_token(client, "/sign-in")
    planted = client.get_cookie("flawsight")
    assert planted
    sign_in(client)
    after = client.get_cookie("flawsight")
    assert after and after.value != planted.value
    other = app.test_client()
    other.set_cookie("flawsight", planted.value)
    assert other.get("/").status_code == 401


def test_the_sign_in_page_serves_keyboard_and_screen_reader(client: FlaskClient) -> None:
    page = client.get("/sign-in").text
    assert "<script" not in page, "it works without scripts"
    for field, purpose in (("name", "username"), ("password", "current-password")):
        assert f'<label for="{field}">' in page
        assert re.search(rf'id="{field}"[^>]*autocomplete="{purpose}"', page)
    refused = sign_in(client, "anna", "wrong password").text
    assert 'role="alert"' in refused and 'aria-describedby="problem"' in refused
    assert "<title>Not signed in" in refused


def test_behind_https_the_cookie_travels_encrypted_only(app: Flask, tmp_path: Path) -> None:
    close(app)
    app = tiny_app(tmp_path, behind_https=True)
    answer = app.test_client().get("/sign-in", headers={"X-Forwarded-Proto": "https"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-flawsight=") and "Secure" in cookie and "Path=/" in cookie
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    close(app)


# --- passwords, sessions and tokens as kept -----------------------------------------------------------


def test_no_secret_is_kept_readable(accounts: Accounts, tmp_path: Path) -> None:
    secret = accounts.start_session(accounts.get("anna"))
    token = accounts.add_token("anna", "line 3")
    with closing(sqlite3.connect(tmp_path / "instance" / "flawsight.db")) as database:
        dump = "\n".join(database.iterdump())
    assert PASSWORD not in dump and secret not in dump and token not in dump
    assert "scrypt:" in dump


def test_equal_passwords_have_different_hashes(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add("ines", "inspector", PASSWORD)
    with closing(sqlite3.connect(tmp_path / "instance" / "flawsight.db")) as database:
        first, second = database.execute("SELECT password FROM users").fetchall()
    assert first != second


def test_a_session_ends_when_unused_and_in_any_case_in_the_end(accounts: Accounts, clock: Clock) -> None:
    limits = {"idle": timedelta(hours=1), "longest": timedelta(hours=12)}
    secret = accounts.start_session(accounts.get("anna"))
    for _ in range(14):
        clock.pass_(minutes=50)
        user = accounts.session_user(secret, **limits)
        assert user and user.name == "anna"
    clock.pass_(minutes=50)
    assert accounts.session_user(secret, **limits) is None, "12 hours are over"
    secret = accounts.start_session(accounts.get("anna"))
    clock.pass_(minutes=61)
    assert accounts.session_user(secret, **limits) is None
    clock.pass_(minutes=-30)
    assert accounts.session_user(secret, **limits) is None, "an ended session stays ended"


def test_a_page_that_asks_by_itself_does_not_keep_a_session(app: Flask, client: FlaskClient) -> None:
    sign_in(client)
    store = app.extensions["flawsight"].store
    with store.transaction("write", write=True) as session:
        row = session.query(SessionRow).one()
        row.seen_at = left = row.seen_at - timedelta(minutes=50)
    for headers, kept in [({"X-Flawsight-Watch": "1"}, False), ({}, True)]:
        assert client.get("/bench/lot?lot=L1", headers=headers).status_code == 200
        with store.transaction("read") as session:
            assert (session.query(SessionRow).one().seen_at > left) is kept


def test_a_clock_set_back_does_not_prolong_a_session(accounts: Accounts, clock: Clock) -> None:
    secret = accounts.start_session(accounts.get("anna"))
    clock.pass_(days=-400)
    assert accounts.session_user(secret, timedelta(hours=1), timedelta(hours=12)) is None


def test_the_settings_decide_how_long_a_session_lives(app: Flask, tmp_path: Path) -> None:
    close(app)
    app = tiny_app(tmp_path, **OUTSIDE, session_idle_min=1e-6)
    client = app.test_client()
    assert sign_in(client).status_code == 303
    assert client.get("/").status_code == 401
    close(app)


def test_a_new_password_or_being_shut_out_ends_sessions(accounts: Accounts) -> None:
    day = timedelta(days=1)
    accounts.add("otto", "operator", PASSWORD)
    for end in (
        lambda: accounts.set_password("otto", "another long one"),
        lambda: accounts.change("otto", enabled=False),
        lambda: accounts.remove("otto"),
    ):
        secret = accounts.start_session(accounts.get("otto"))
        end()
        assert accounts.session_user(secret, day, day) is None
    with pytest.raises(NotFound):
        accounts.get("otto")


def test_a_token_works_until_removed_and_only_while_its_user_may_come(accounts: Accounts) -> None:
    accounts.add("robot", "operator")
    token = accounts.add_token("robot", "line 3")
    user = accounts.token_user(token)
    assert user and user.name == "robot"
    assert accounts.tokens("robot")[0].used_at
    accounts.change("robot", enabled=False)
    assert accounts.token_user(token) is None
    accounts.change("robot", enabled=True)
    accounts.remove_token("robot", accounts.tokens("robot")[0].id)
    assert accounts.token_user(token) is None


def test_a_user_without_password_cannot_sign_in_with_none(accounts: Accounts) -> None:
    accounts.add("robot", "operator")
    for guess in ("", "None"):
        with pytest.raises(WrongPassword):
            accounts.check_password("robot", guess)


@pytest.mark.parametrize("name", ["", "a b", "<b>", "../x", "ä", "-x", "x" * 65, "a\nb"])
def test_odd_names_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(AccountError, match="letters a-z"):
        accounts.add(name, "operator", PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 201, "otto123456"])
def test_weak_passwords_are_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(AccountError, match="password"):
        accounts.add("otto", "operator", password)


def test_one_admin_always_stays(accounts: Accounts) -> None:
    accounts.add("otto", "operator", PASSWORD)
    for attempt in (
        lambda: accounts.change("anna", role="operator"),
        lambda: accounts.change("anna", enabled=False),
        lambda: accounts.remove("anna"),
    ):
        with pytest.raises(AccountError, match="must be an admin"):
            attempt()
    assert accounts.get("anna").may("admin")
    accounts.remove("otto")
    accounts.remove("anna")  # the very last: back to the bench
    assert not accounts.any()


# --- guessing -----------------------------------------------------------------------------------------


def wrong(accounts: Accounts, name: str = "anna", address: str = "10.0.0.1") -> None:
    with pytest.raises(WrongPassword):
        accounts.check_password(name, "a wrong guess", address)


def refused_for(accounts: Accounts, name: str = "anna", address: str = "10.0.0.1") -> int:
    with pytest.raises(TooManyAttempts) as refused:
        accounts.check_password(name, PASSWORD, address)
    return refused.value.retry_after


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing that takes no time, where only counting is looked at."""
    monkeypatch.setattr(
        "flawsight.records.accounts.check_password_hash", lambda hashed, word: word == PASSWORD
    )


@pytest.mark.usefixtures("quick")
def test_each_further_wrong_guess_doubles_the_wait(accounts: Accounts, clock: Clock) -> None:
    for _ in range(5):
        wrong(accounts)
    waits = []
    for _ in range(12):
        wait = refused_for(accounts)
        waits.append(wait)
        clock.pass_(seconds=wait)
        wrong(accounts)
    assert waits[:4] == [2, 3, 5, 9], "1, 2, 4, 8 seconds, rounded up"
    assert max(waits) == waits[-1] == 15 * 60 + 1
    clock.pass_(seconds=waits[-1])
    assert accounts.check_password("anna", PASSWORD, "10.0.0.1").name == "anna"
    wrong(accounts)  # a right one forgives


@pytest.mark.usefixtures("quick")
def test_a_clock_set_back_does_not_lock_out_for_years(accounts: Accounts, clock: Clock) -> None:
    for _ in range(8):
        clock.pass_(seconds=10)
        wrong(accounts)
    clock.pass_(days=-3000)
    assert refused_for(accounts) <= 9


@pytest.mark.usefixtures("quick")
def test_one_address_cannot_try_all_names(accounts: Accounts) -> None:
    for number in range(20):
        wrong(accounts, f"user{number}")
    assert refused_for(accounts) >= 1
    assert accounts.check_password("anna", PASSWORD, "10.0.0.2").name == "anna", "others still can"


@pytest.mark.usefixtures("quick")
def test_one_person_with_many_ipv6_addresses_counts_as_one(accounts: Accounts) -> None:
    for number in range(20):
        wrong(accounts, f"user{number}", f"2001:db8::{number:x}")
    assert refused_for(accounts, address="2001:db8::ffff") >= 1


@pytest.mark.usefixtures("quick")
def test_a_right_password_does_not_wash_an_address_clean(accounts: Accounts) -> None:
    for number in range(19):
        wrong(accounts, f"user{number}")
    accounts.check_password("anna", PASSWORD, "10.0.0.1")
    wrong(accounts, "someone")
    assert refused_for(accounts) >= 1


@pytest.mark.usefixtures("quick")
def test_many_guesses_at_once_are_not_free(accounts: Accounts) -> None:
    def guess(number: int) -> type[Exception]:
        try:
            accounts.check_password("anna", "a wrong guess")
        except (WrongPassword, TooManyAttempts) as error:
            return type(error)
        raise AssertionError

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(guess, range(24)))
    assert outcomes.count(WrongPassword) == 5


def test_the_page_answers_429_with_the_time_to_wait(client: FlaskClient) -> None:
    answers = [sign_in(client, "otto", "a wrong guess") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {401}
    while (refused := sign_in(client, "otto", "a wrong guess")).status_code == 401:
        pass  # a slow computer may need longer than the first waits last
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    assert "Too many wrong passwords" in refused.text


def test_guesses_are_counted_across_processes_and_restarts(accounts: Accounts, tmp_path: Path) -> None:
    for _ in range(5):
        wrong(accounts)
    with closing(Store(tmp_path / "instance")) as store, pytest.raises(TooManyAttempts):
        Accounts(store, accounts._now).check_password("anna", PASSWORD)


# --- roles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inspects", "reviews", "manages"),
    [("otto", 200, 403, 403), ("ines", 200, 200, 403), ("anna", 200, 200, 200)],
)
def test_each_role_may_do_its_part(
    tmp_path: Path, app: Flask, name: str, inspects: int, reviews: int, manages: int
) -> None:
    close(app)
    app = tiny_app(tmp_path, **OUTSIDE)
    app.add_url_rule("/api/review", view_func=requires("inspector")(lambda: "reviewed"))
    client = app.test_client()
    sign_in(client, name)
    assert client.get("/").status_code == inspects
    assert client.get("/api/review").status_code == reviews
    assert client.get("/users").status_code == manages
    if reviews == 403:
        refused = client.get("/api/review").get_json()
        assert refused["code"] == "not_allowed" and "otto is an operator" in refused["detail"]
    close(app)


def test_an_operator_reads_the_review_page_and_is_offered_no_answer(app: Flask, client: FlaskClient) -> None:
    store = app.extensions["flawsight"].store
    suspected = make_inspection("review")
    record = store.add(suspected, encoded(cracked()), make_pictures(suspected))
    pages = (
        "/review",
        f"/review/{record.id}",
        f"/inspections/{record.id}",
        f"/review/{record.id}?answer=reject",
    )
    sign_in(client, "otto")
    for page in pages:
        answered = client.get(page, headers=PAGE)
        assert answered.status_code == 200 and record.number in answered.text
        assert f'action="/review/{record.id}"' not in answered.text
        if page.startswith("/review"):
            assert "An inspector answers." in answered.text
            assert "review.js" not in answered.text and "Start with" not in answered.text
        else:
            assert f"/review/{record.id}" not in answered.text and "Review: accept" not in answered.text
    refused = client.post(f"/review/{record.id}", data={"csrf_token": form_token(client, "/")})
    assert refused.status_code == 403
    inspects = app.test_client()
    sign_in(inspects, "ines")
    assert "Start with" in inspects.get(pages[0]).text
    assert f'action="/review/{record.id}"' in inspects.get(pages[1]).text
    assert f'href="/review/{record.id}"' in inspects.get(pages[2]).text
    assert not any("An inspector answers." in inspects.get(page).text for page in pages)


def test_another_role_takes_effect_without_signing_in_again(app: Flask, client: FlaskClient) -> None:
    sign_in(client, "otto")
    accounts = Accounts(app.extensions["flawsight"].store)
    accounts.change("otto", role="admin")
    assert client.get("/users").status_code == 200
    accounts.change("otto", enabled=False)
    assert client.get("/users").status_code == 401


# --- tokens -------------------------------------------------------------------------------------------


def test_a_program_inspects_and_reads_with_its_token(app: Flask) -> None:
    accounts = Accounts(app.extensions["flawsight"].store)
    bearer = {"Authorization": f"Bearer {accounts.add_token('otto', 'line 3')}"}
    client = app.test_client()
    created = send_to_api(client, encoded(cracked()), **bearer)
    assert created.status_code == 201
    links = created.get_json()["links"]
    for link in (links["self"], links["pdf"], links["page"], *links["pictures"].values()):
        assert client.get(link, headers=bearer).status_code == 200
    assert client.get("/users", headers=bearer).status_code == 403


@pytest.mark.parametrize("sent", ["Bearer wrong", "Bearer ", "Basic YW5uYTp4", "Bearer \xff", "x"])
def test_a_wrong_token_is_refused_even_with_a_good_cookie(client: FlaskClient, sent: str) -> None:
    sign_in(client)
    assert client.get("/", headers={"Authorization": sent}).status_code == 401


def test_the_environments_token_inspects_and_no_more(tmp_path: Path) -> None:
    app = tiny_app(tmp_path, **OUTSIDE, token="x7" * 16)
    client = app.test_client()
    bearer = {"Authorization": "Bearer " + "x7" * 16}
    assert send_to_api(client, encoded(cracked()), **bearer).status_code == 201
    assert client.get("/users", headers=bearer).status_code == 403
    assert client.get("/").status_code == 401
    close(app)


def test_the_environments_password_is_the_admins_and_may_change(tmp_path: Path) -> None:
    for word in ("first long password", "second long password"):
        app = tiny_app(tmp_path, **OUTSIDE, password=word)
        client = app.test_client()
        assert sign_in(client, "admin", word).status_code == 303
        assert client.get("/users").status_code == 200
        close(app)
    with closing(Store(tmp_path / "instance")) as store, pytest.raises(WrongPassword):
        Accounts(store).check_password("admin", "first long password")


# --- the pages of users -------------------------------------------------------------------------------


def test_an_admin_manages_users_on_the_page(app: Flask, client: FlaskClient) -> None:
    sign_in(client)
    added = send(client, "/users", name="Robot.3", role="operator", password="")
    page = added.headers["Location"]
    assert "robot.3 was added" in client.get(page).text
    send(client, page, do="role", role="inspector")
    assert "Inspector:" in client.get(page).text
    shown = send(client, page, do="token", title="camera of <line> 3")
    assert shown.headers["Cache-Control"] == "no-store"
    found = re.search(r"flawsight_[\w-]{43}", shown.text)
    assert found and "camera of &lt;line&gt; 3" in shown.text
    assert found[0] not in client.get(page).text, "shown once"
    again = send(client, page, do="token", title="camera of  <line> 3")  # as a page does that is loaded again
    assert again.status_code == 400 and "robot.3 already has a token for" in again.text
    assert again.text.count('name="token"') == 1, "no second one was made"
    bearer = {"Authorization": f"Bearer {found[0]}"}
    assert app.test_client().get("/", headers=bearer).status_code == 200
    token_id = re.search(r'name="token" value="(\d+)"', shown.text)
    assert token_id
    send(client, page, do="remove_token", token=token_id[1])
    assert app.test_client().get("/", headers=bearer).status_code == 401
    send(client, page, do="password", password="yet another long one")
    assert sign_in(app.test_client(), "robot.3", "yet another long one").status_code == 303
    send(client, page, do="disable")
    assert sign_in(app.test_client(), "robot.3", "yet another long one").status_code == 401
    send(client, page, do="enable")
    assert send(client, page, do="remove").status_code == 400, "not without the tick"
    assert send(client, page, do="remove", sure="yes").headers["Location"] == "/users"
    assert client.get(page).status_code == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "otto", "role": "operator", "password": PASSWORD}, "already"),
        ({"name": "new", "role": "boss", "password": PASSWORD}, "no role"),
        ({"name": "new", "role": "operator", "password": "short"}, "10 to 200"),
    ],
)
def test_what_cannot_be_added_is_said_beside_the_form(
    client: FlaskClient, fields: dict[str, str], said: str
) -> None:
    sign_in(client)
    refused = send(client, "/users", **fields)
    assert refused.status_code == 400 and said in refused.text and 'role="alert"' in refused.text
    assert "short" not in refused.text


def test_at_the_bench_a_link_leads_to_the_users_and_the_first_is_an_admin(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    client = app.test_client()
    start = client.get("/").text
    assert 'href="/users"' in start and "Sign out" not in start and 'href="/account"' not in start
    assert re.search(r'<option value="admin" selected', client.get("/users").text)
    for fields in ({"role": "operator", "password": PASSWORD}, {"role": "admin", "password": ""}):
        refused = send(client, "/users", name="anna", **fields)
        assert refused.status_code == 400 and "The first user must be an admin" in refused.text
        assert "somebody else" not in refused.text
    assert send(client, "/users", name="anna", role="admin", password=PASSWORD).status_code == 303
    assert re.search(r'href="/users".*Sign out', signed_in_start(app, "anna"), re.DOTALL)
    close(app)


def test_who_is_no_admin_sees_no_link_to_the_users(tmp_path: Path, app: Flask) -> None:
    for name in ("otto", "ines"):
        assert 'href="/users"' not in signed_in_start(app, name)
    (tmp_path / "open").mkdir()
    guests = tiny_app(tmp_path / "open", **OUTSIDE, insecure=True)
    assert 'href="/users"' not in guests.test_client().get("/").text
    close(guests)


def signed_in_start(app: Flask, name: str) -> str:
    client = app.test_client()
    sign_in(client, name)
    return client.get("/").text


def test_the_last_admin_cannot_lock_everybody_out_on_the_page(client: FlaskClient) -> None:
    sign_in(client)
    refused = send(client, "/users/1", do="disable")
    assert refused.status_code == 400 and "must be an admin" in refused.text


def test_everybody_changes_their_own_password(client: FlaskClient, app: Flask) -> None:
    sign_in(client, "otto")
    elsewhere = app.test_client()
    sign_in(elsewhere, "otto")
    new = {"new": "a brand new password", "again": "a brand new password"}
    assert send(client, "/account", password="not the old one", **new).status_code == 400
    assert send(client, "/account", password=PASSWORD, new="one two three", again="four").status_code == 400
    assert send(client, "/account", password=PASSWORD, **new).status_code == 303
    assert client.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 401


# --- the command --------------------------------------------------------------------------------------


def run(*arguments: str, folder: Path, typed: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(main, ["users", *arguments, "--instance", str(folder)], input=typed)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def test_the_command_adds_lists_changes_and_removes(tmp_path: Path) -> None:
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    assert "anna, admin" in run("add", "Anna", folder=tmp_path, typed=typed)[1]
    assert "otto, operator" in run("add", "otto", "--password-stdin", folder=tmp_path, typed=typed)[1]
    assert "inspector" in run("change", "otto", "--role", "inspector", folder=tmp_path)[1]
    assert "shut out" in run("change", "otto", "--disable", folder=tmp_path)[1]
    listed = run("list", folder=tmp_path)[1]
    assert re.search(r"otto +inspector +shut out", listed)
    run("password", "anna", "--password-stdin", folder=tmp_path, typed="something else long\n")
    with closing(Store(tmp_path)) as store:
        assert Accounts(store).check_password("anna", "something else long").role == "admin"
    assert run("remove", "otto", folder=tmp_path) == (0, "Removed otto.\n")
    code, said = run("remove", "otto", folder=tmp_path)
    assert code == 1 and "There is no user 'otto'" in said


def test_where_there_was_no_server_the_command_finds_no_users_and_begins_nothing(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "mistyped"
    code, said = run("list", folder=folder)
    assert code == 1 and "There is no history in" in said and not folder.exists()
    Store(folder).close()
    assert "Add the first" in run("list", folder=folder)[1]


def test_the_command_shows_a_token_once(tmp_path: Path) -> None:
    run("add", "anna", "--password-stdin", folder=tmp_path, typed=PASSWORD)
    token = run("token", "anna", "--title", "line 3", folder=tmp_path)[1].split()[-1]
    with closing(Store(tmp_path)) as store:
        assert Accounts(store).token_user(token)
    assert token not in run("list", folder=tmp_path)[1]
    run("token", "anna", "--remove", "1", folder=tmp_path)
    with closing(Store(tmp_path)) as store:
        assert Accounts(store).token_user(token) is None


@pytest.mark.parametrize("arguments", [("token", "anna"), ("change", "anna")])
def test_the_command_says_what_is_missing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run("add", "anna", "--password-stdin", folder=tmp_path, typed=PASSWORD)
    code, said = run(*arguments, folder=tmp_path)
    assert code == 2 and "Say what" in said
