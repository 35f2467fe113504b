"""The description of the API is whole, true, and can be read; and the API keeps to it."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from model_files import furnish, lenient, model_bytes, write_study
from schemathesis import GenerationMode, checks
from web_client import close, cracked, encoded, post_file, send_to_api, settings_in, surface, tiny_app
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from flawsight.records import Accounts
from flawsight.settings import PROJECT_ROOT
from flawsight.web import create_app
from flawsight.web.contract import OPERATIONS
from flawsight.web.openapi import described, document

ANNA = ("anna", "admin", "a long pass phrase")
PART = encoded(cracked())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = tiny_app(tmp_path_factory.mktemp("openapi"))
    yield app
    close(app)


@pytest.fixture(scope="module")
def described_api(app: Flask) -> dict[str, Any]:
    return document(app)


# --- the description ----------------------------------------------------------------------------------


def test_every_address_of_the_api_is_described_and_nothing_else(app: Flask) -> None:
    there = {rule.endpoint for rule, _ in described(app)}
    missing, invented = there - OPERATIONS.keys(), OPERATIONS.keys() - there
    assert not missing, f"No line in flawsight/web/contract.py for {missing}"
    assert not invented, f"Described in flawsight/web/contract.py, but no address: {invented}"


def test_every_operation_says_what_it_does(described_api: dict[str, Any]) -> None:
    for path, methods in described_api["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary", "").endswith((".", ":")), f"{method} {path} has no docstring"


def test_every_reference_leads_somewhere(described_api: dict[str, Any]) -> None:
    for kind, name in re.findall(r"#/components/(\w+)/(\w+)", str(described_api)):
        assert name in described_api["components"][kind], name


def test_it_is_openapi_3_1_for_tools(app: Flask) -> None:
    response = app.test_client().get("/api/v1/openapi.json")
    assert response.mimetype == "application/json" and response.json is not None
    assert response.json["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(response.json).validate()


def test_roles_are_read_from_the_views(described_api: dict[str, Any]) -> None:
    paths = described_api["paths"]
    assert "role admin" in paths["/api/v1/retention"]["post"]["description"]
    assert "role inspector" in paths["/api/v1/inspections/{inspection_id}/reviews"]["post"]["description"]


def test_serving_does_not_load_what_only_the_description_needs() -> None:
    code = "import sys, flawsight.web; sys.exit('flawsight.web.schemas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=False).returncode == 0


def test_the_page_lists_every_operation_and_every_error(app: Flask, described_api: dict[str, Any]) -> None:
    page = app.test_client().get("/api/v1/docs").text
    for path in described_api["paths"]:
        assert f"<code>{path}</code>" in page
    assert page.count('<span class="api-method ') == len(described(app))
    assert 'href="/problems/not_an_image"' in page


# --- the examples -------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FlaskClient]:
    """A server with two models, a comparison, an inspection, a lot, and a golden part with a photo."""
    furnish(tmp_path)
    write_study(tmp_path)
    app = create_app(settings_in(tmp_path))
    client = app.test_client()
    send_to_api(client, PART)
    client.post("/api/v1/lots", json={"number": "L-1", "size": 50, "by": "Ines"})
    post_file(client, "/api/v1/trust/golden/parts", PART, "part.png", verdict="reject")
    post_file(client, "/api/v1/trust/golden/parts/1/photos", PART, "part.png")
    yield client
    app.extensions["flawsight"].fleet.close()
    close(app)


def examples(client: FlaskClient) -> list[str]:
    page = client.get("/api/v1/docs", headers={"Host": "localhost:8080"}).text
    return [html.unescape(code) for code in re.findall("<code>(curl [^<]*)</code>", page)]


def filled_in(line: str, client: FlaskClient) -> list[str]:
    """The words of an example, with what is there in place of the names in capitals."""
    inspection = client.get("/api/v1/inspections?order=oldest").json["inspections"][0]["id"]  # type: ignore[index]
    there = {
        "INSPECTION_ID": inspection, "CLASS_ID": "MT_Crack", "KIND": "original", "NAME": "none",
        "LOT_ID": "1", "PART_ID": "1", "CHECK_ID": "1", "TEMPLATE_ID": "1",
        "KEY": "tiles" if "/comparisons/" in line else "lenient",
    }  # fmt: skip
    *words, address = shlex.split(line)
    return [*words, re.sub("(?<=/)[A-Z_]+", lambda found: there[found[0]], address)]


def followed(client: FlaskClient, words: list[str]) -> TestResponse:
    """The answer to what ``curl`` sends when it is told these ``words``."""
    *options, address = words[1:]
    told = list(zip(options[::2], options[1::2], strict=True))
    assert {name for name, _ in told} <= {"-X", "-F", "--json", "-o"}
    path = address.removeprefix("http://localhost:8080")
    if form := dict(value.split("=", 1) for name, value in told if name == "-F"):
        file = {"@part.jpg": encoded(surface()), "@model.onnx": model_bytes(lenient("third"))}[form["file"]]
        return post_file(client, path, file, form.pop("file")[1:], **form)
    if sent := dict(told).get("--json"):
        return client.post(path, json=json.loads(sent))
    return client.open(path, method=dict(told).get("-X", "GET"))


def test_every_example_of_the_page_is_understood_as_it_is_printed(bench: FlaskClient) -> None:
    lines = examples(bench)
    assert len(lines) == len(described(bench.application))
    for line in lines:
        answer = followed(bench, filled_in(line, bench))
        assert "…" not in line and (answer.status_code != 400 or untaught(answer)), (line, answer.data[:300])
        answer.close()
    for check in ("chain", "golden"):  # started by these examples
        while bench.get(f"/api/v1/trust/{check}").json["check"]["running"]:  # type: ignore[index]
            time.sleep(0.05)


def untaught(answer: TestResponse) -> bool:
    """No model here compares parts with templates; all else about that example is right."""
    return answer.json is not None and answer.json["detail"].startswith("No model on the bench was taught")


def test_what_is_said_to_be_required_is_refused_without_it(bench: FlaskClient) -> None:
    api = document(bench.application)
    tried = 0
    for line in (line for line in examples(bench) if "--json" in line):
        *_, sent, address = filled_in(line, bench)
        path = re.sub("(?<=/)[A-Z_]+", lambda found: f"{{{found[0].lower()}}}", shlex.split(line)[-1])
        body = api["paths"][path.removeprefix("http://localhost:8080")]["post"]["requestBody"]["content"]
        name = body["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        for field in api["components"]["schemas"][name]["required"]:
            lacking = {key: value for key, value in json.loads(sent).items() if key != field}
            answer = bench.post(address, json=lacking)
            assert answer.status_code == 400, f"{line} without {field}: {answer.text}"
            tried += 1
    assert tried >= 14


def test_where_people_sign_in_the_examples_carry_a_token_and_need_no_name(bench: FlaskClient) -> None:
    accounts = Accounts(bench.application.extensions["flawsight"].store)
    token = accounts.add_token(accounts.add(*ANNA).id, "a test")
    with bench.application.test_client() as client:
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        assert all(line.startswith("curl -H 'Authorization: Bearer TOKEN' ") for line in examples(client))
        api = client.get("/api/v1/openapi.json").json
        assert api is not None
        assert "reviewer" not in api["components"]["schemas"]["NewReview"]["required"]
        assert client.post("/api/v1/lots", json={"number": "L-2", "size": 50}).status_code == 201


# --- what it says is kept -----------------------------------------------------------------------------


def test_pictures_and_report_are_under_the_api(app: Flask) -> None:
    client = app.test_client()
    links = send_to_api(client, PART).get_json()["links"]
    for link in (links["pdf"], *links["pictures"].values(), f"{links['self']}/thumbnail"):
        assert link.startswith("/api/v1/inspections/") and client.get(link).status_code == 200
    assert client.get(f"{links['self']}/pictures/none").status_code == 404


def test_the_queue_is_walked_by_its_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawsight.web.review.QUEUE", 2)
    app = tiny_app(tmp_path)
    client = app.test_client()
    sent = [send_to_api(client, PART, f"{n}.png").get_json() for n in range(5)]

    def page(address: str) -> dict[str, Any]:
        found = client.get(address).get_json()
        assert isinstance(found, dict)
        return found

    first = page("/api/v1/reviews/queue?show=all")
    second = page(first["next"])
    last = page(second["next"])
    walked = [one["id"] for part in (first, second, last) for one in part["inspections"]]
    assert sorted(walked) == sorted(one["id"] for one in sent) and walked[:2] != walked[2:4]
    assert (first["count"], first["count_is_complete"]) == (5, True)
    assert first["previous"] is None and last["next"] is None
    assert page(last["previous"])["inspections"] == second["inspections"]
    for answered in walked[:2]:
        said = {"reviewer": "Ines", "verdict": "accept", "class": "MT_Free"}
        client.post(f"/api/v1/inspections/{answered}/reviews", json=said)
    assert page(first["next"])["previous"] is None  # nothing before it waits any more
    assert client.get("/api/v1/reviews/queue?after=x").status_code == 400
    close(app)


def test_an_inspection_says_its_verdict_as_the_pages_do(app: Flask) -> None:
    client = app.test_client()
    links = send_to_api(client, PART).get_json()["links"]
    assert client.get(links["self"]).get_json()["headline"] == "Crack"
    client.set_cookie("flawsight_language", "de")
    headline = client.get(links["self"]).get_json()["headline"]
    assert headline != "Crack" and headline in client.get(links["page"]).text


def test_a_rule_is_tried_before_anything_is_deleted(app: Flask) -> None:
    client = app.test_client()
    send_to_api(client, PART)
    count = client.get("/api/v1/inspections").json["count"]  # type: ignore[index]
    address = "/api/v1/retention/matching?days=0&which=all"
    matching = client.get(address).json
    assert matching is not None and matching["inspections"] == count
    assert client.get("/api/v1/inspections").json["count"] == count  # type: ignore[index]


@pytest.mark.parametrize("which", ["", "everything", "All"])
def test_a_rule_that_is_not_understood_deletes_nothing(app: Flask, which: str) -> None:
    client = app.test_client()
    record = send_to_api(client, PART).get_json()
    client.post("/api/v1/retention", json={"days": 0, "which": which})
    assert client.get(record["links"]["self"]).status_code == 200


def test_the_client_of_the_document_works_as_it_stands(app: Flask, tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "part.jpg").write_bytes(encoded(cracked(), "JPEG"))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever).start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", example.replace(":5000", f":{server.port}")],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    number, verdict, defect = done.stdout.split()[:3]
    assert (verdict, defect) == ("reject", "MT_Crack")
    assert (tmp_path / f"{number}.pdf").read_bytes().startswith(b"%PDF")
    [entry] = app.test_client().get("/api/v1/inspections?lot=L-42").json["inspections"]  # type: ignore[index]
    assert entry["number"] == number


@pytest.mark.parametrize("sent", [b"", b"{", b"[1]", b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_called_so_at_every_address(app: Flask, sent: bytes) -> None:
    client = app.test_client()
    ids = {"inspection_id": send_to_api(client, PART).get_json()["id"], "lot_id": 1, "key": "none"}
    addresses = [
        (rule.build({name: ids[name] for name in rule.arguments})[1], method)  # type: ignore[index]
        for rule, method in described(app)
        if OPERATIONS[rule.endpoint].body
    ]
    assert len(addresses) >= 7
    for address, method in addresses:
        answer = client.open(address, method=method, data=sent, content_type="application/json")
        assert answer.status_code == 400 and answer.json is not None, address
        assert answer.json["code"] == "bad_body" and "JSON object" in answer.json["detail"], address


def test_a_rule_in_a_body_that_means_nothing_is_no_matter_of_the_address(app: Flask) -> None:
    for rule in ({"days": "x"}, {"days": 1, "which": "some"}, {}):
        answer = app.test_client().post("/api/v1/retention", json=rule)
        assert answer.status_code == 400 and answer.json is not None
        assert answer.json["code"] == "bad_body"


# --- whatever is sent ---------------------------------------------------------------------------------

# One takes a process and many seconds, the other deletes what all the others stand on.
LEFT_OUT = r"(/grad-cam|/retention)$"
KEPT = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_schema_conformance,
]  # fmt: skip
FEW = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


# Which a real server closes: what was sent, and what is sent back, if it came through a temporary file.
NOT_CLOSED = pytest.mark.filterwarnings("ignore:Unclosed file <tempfile:ResourceWarning")


def filled(app: Flask, headers: dict[str, str]) -> schemathesis.BaseSchema:
    """The API of ``app``, asked for the ids of an inspection, a lot and a model that are there."""
    client = app.test_client()
    inspection = post_file(client, "/api/v1/inspections", PART, "part.png", headers).get_json()["id"]
    lot = client.post("/api/v1/lots", json={"number": "L-1", "size": 50, "by": "Ines"}, headers=headers)
    ids = {"inspection_id": inspection, "lot_id": lot.get_json()["id"], "class_id": "MT_Crack"}
    config = schemathesis.Config.from_dict({"generation": {"deterministic": True}, "parameters": ids})
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app, config=config, headers=headers)
    return schema.exclude(path_regex=LEFT_OUT)


def try_everything(schema: schemathesis.BaseSchema, headers: dict[str, str], kept: list[Any]) -> int:
    """Send right and wrong requests to every operation; how many operations there are."""
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @given(case=st.one_of(right, wrong))
        @FEW
        def one(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=kept)

        one()
    return len(operations)


@NOT_CLOSED
def test_the_api_keeps_to_its_description_whatever_is_sent(app: Flask) -> None:
    assert try_everything(filled(app, {}), {}, KEPT) >= 30


@NOT_CLOSED
def test_the_same_where_a_token_is_needed_and_none_gets_in_without(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    accounts = Accounts(app.extensions["flawsight"].store)
    headers = {"Authorization": f"Bearer {accounts.add_token(accounts.add(*ANNA).id, 'a test')}"}
    try_everything(filled(app, headers), headers, [*KEPT, checks.ignored_auth])
    close(app)
