"""The pages: what a person sees without scripts, and what protects them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from factories import make_inspection, make_pictures
from flask import Flask, abort
from flask.testing import FlaskClient
from web_client import (
    PROBLEM_KEYS,
    bomb,
    close,
    cracked,
    encoded,
    send_form,
    settings_in,
    surface,
    tiny_app,
    token,
)

from flawsight.inspection.inspector import Inspector
from flawsight.inspection.result import Box, Inspection
from flawsight.inspection.tiny import METADATA, TinyEngine
from flawsight.records import Store
from flawsight.settings import PROJECT_ROOT
from flawsight.taxonomy import describe
from flawsight.web import create_app
from flawsight.web.gallery import SHIPPED, list_samples
from flawsight.web.serve import serve

PAGE_OF_RESULT = re.compile(r"/inspections/([0-9a-f]{32})")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = tiny_app(tmp_path, max_upload_mb=1, max_pixels=1_000_000)
    yield app
    close(app)


def text_of(page: str) -> str:
    """What is read on the page: no tags, single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def filed(app: Flask, verdict: str, predicted_class: str | None = None, **more: object) -> str:
    """The result page's address of an inspection with this outcome."""
    return stored(app, make_inspection(verdict, predicted_class, **more))  # type: ignore[arg-type]


def stored(app: Flask, inspection: Inspection) -> str:
    """The result page's address of ``inspection``."""
    store: Store = app.extensions["flawsight"].store
    return f"/inspections/{store.add(inspection, b'upload', make_pictures(inspection)).id}"


# --- the start page -----------------------------------------------------------------------------------


def test_start_page_shows_readable_samples_and_what_the_model_knows(client: FlaskClient) -> None:
    page = text_of(client.get("/").text)
    assert "MT Crack 1" in page and "Odd name of mine" in page
    assert "2 kinds of defect and 1 kind of good part" in page
    assert "Blowhole" in page
    assert "Nothing inspected yet" in page
    assert "README" not in page


def test_start_page_lists_recent_inspections_newest_first(client: FlaskClient) -> None:
    send_form(client, encoded(cracked()), "first.png")
    send_form(client, encoded(surface()), "second.png")
    page = client.get("/").text
    assert 0 < page.index("second.png") < page.index("first.png")
    assert client.get(PAGE_OF_RESULT.search(page)[0] + "/thumbnail").mimetype == "image/png"  # type: ignore[index]


def test_every_shipped_sample_has_a_title_that_is_translated() -> None:
    assert {sample.title for sample in list_samples(PROJECT_ROOT / "sample")} == set(SHIPPED)


def test_start_page_without_samples_says_where_to_put_them(tmp_path: Path) -> None:
    app = tiny_app(tmp_path, samples=tmp_path / "nowhere")
    assert "Put images into nowhere" in text_of(app.test_client().get("/").text)
    close(app)


def test_start_page_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path))
    client = app.test_client()
    assert "python training.py" in text_of(client.get("/").text)
    answer = send_form(client, encoded(cracked()))
    assert answer.status_code == 503 and "python training.py" in text_of(answer.text)
    close(app)


def test_start_page_with_a_damaged_model_says_which(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    app = create_app(settings_in(tmp_path))
    response = app.test_client().get("/")
    assert response.status_code == 200 and "model.onnx is no readable ONNX model" in text_of(response.text)
    close(app)


# --- samples ------------------------------------------------------------------------------------------


def test_a_sample_is_inspected_on_a_click(client: FlaskClient) -> None:
    response = client.post("/samples/MT_Crack_1.png", data={"csrf_token": token(client)})
    assert response.status_code == 303
    assert "REJECT : Crack" in text_of(client.get(response.headers["Location"]).text)


def test_sample_thumbnails_are_pictures(client: FlaskClient) -> None:
    response = client.get("/samples/mt_free_2.png/thumbnail")
    assert (response.status_code, response.mimetype) == (200, "image/png")


@pytest.mark.parametrize(
    "name", ["../secret.png", "..%2Fsecret.png", "/etc/passwd", "README.txt", "none.png", "."]
)
def test_only_names_of_the_gallery_are_opened(client: FlaskClient, name: str) -> None:
    assert client.get(f"/samples/{name}/thumbnail").status_code == 404
    assert client.post(f"/samples/{name}", data={"csrf_token": token(client)}).status_code in (404, 405)


def test_a_broken_sample_is_a_message_not_a_crash(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "sample" / "broken.png").write_bytes(b"nothing")
    assert client.get("/").status_code == 200
    assert client.get("/samples/broken.png/thumbnail").status_code == 415


# --- the result page ----------------------------------------------------------------------------------


def test_a_form_without_scripts_leads_to_the_result(client: FlaskClient) -> None:
    response = send_form(client, encoded(cracked()))
    assert response.status_code == 303
    page = client.get(response.headers["Location"])
    words = text_of(page.text)
    assert "REJECT : Crack" in words and "Likely causes" in words and "Recommended action" in words
    for kind in ("original", "heatmap", "heat_layer", "boxes", "edges"):
        assert f"/pictures/{kind}" in page.text


@pytest.mark.parametrize("name", ["MT_Free", "DAGM_Free", "PCB_Free"])
def test_a_good_part_reads_as_good(app: Flask, name: str) -> None:
    words = text_of(app.test_client().get(filed(app, "accept", name)).text)
    assert "ACCEPT : No defect found" in words
    assert "None. The part was judged good." in words
    for claim in (
        "defect detected",
        "Defects found",
        "Likely causes",
        "Severity",
        "Recommended action",
        "REJECT",
    ):
        assert claim not in words


def test_review_and_unknown_claim_no_defect(app: Flask) -> None:
    client = app.test_client()
    review = text_of(client.get(filed(app, "review", "MT_Crack")).text)
    assert "REVIEW : Possibly: Crack" in review and "What it may be" in review
    assert "Hold the part until a person has looked at it" in review and "Recommended action" not in review
    unknown = text_of(client.get(filed(app, "unknown", "MT_Crack", boxes=())).text)
    assert "UNKNOWN : Not a part this model knows" in unknown
    assert "Likely causes" not in unknown and "What is wrong" not in unknown


def test_an_unknown_part_has_no_class_and_no_confidence(app: Flask) -> None:
    inspection = make_inspection("unknown", "MT_Crack", (), 0.985)
    far = replace(inspection, method={**inspection.method, "distance": 1.043, "distance_limit": 1.0})
    words = text_of(app.test_client().get(stored(app, far)).text)
    assert "confidence in the class" not in words and "Most likely classes" not in words
    assert "1.05 times the limit" in words and "Closest class, not an answer: Crack" in words
    noise = replace(far, method={**far.method, "strange": "noise"})
    assert "times the limit" not in text_of(app.test_client().get(stored(app, noise)).text)


def test_all_kinds_of_defect_are_named_and_the_worst_decides(app: Flask) -> None:
    boxes = tuple(
        Box(10 + 50 * n, 20, 50 + 50 * n, 60, 0.99 - n / 100, class_id)
        for n, class_id in enumerate(("PCB_copper", "PCB_spur", "PCB_short", "PCB_spur"))
    )
    words = text_of(app.test_client().get(filed(app, "reject", "PCB_copper", boxes=boxes)).text)
    assert "REJECT : Short, Spurious copper, 2 × Spur " in words
    assert "Spur DeepPCB 2 boxes" in words and describe("PCB_spur").description in words
    assert "Severity critical, as the worst of them: Short" in words
    assert f"Recommended action Short: {describe('PCB_short').recommended_action}" in words
    for class_id in ("PCB_copper", "PCB_spur", "PCB_short"):
        info = describe(class_id)
        assert f"{info.title} {' '.join(info.likely_causes)}" in words[words.index("Likely causes") :]
    assert "Of the picture as a whole" in words


def test_where_no_box_is_the_page_says_where_to_look_and_how_strong_it_is(app: Flask) -> None:
    inspection = make_inspection("review", "MT_Free", confidence=0.93, defect_probability=0.07)
    heat = replace(
        inspection.heatmap, class_id="MT_Crack", peak=(90, 70), peak_score=0.281, method="class-map"
    )
    words = text_of(app.test_client().get(stored(app, replace(inspection, boxes=(), heatmap=heat))).text)
    assert "Look at the heat map, first at x 90, y 70." in words
    hottest = (
        "spread smoothly: hottest at x 90, y 70, where the model gives it 28.1 %; single spots may get more."
    )
    assert f"What speaks for “Crack”, {hottest}" in words
    of_all = replace(heat, method="defect-map")
    words = text_of(app.test_client().get(stored(app, replace(inspection, boxes=(), heatmap=of_all))).text)
    assert f"What speaks for a defect of any kind, {hottest}" in words
    assert "Any defect, as inspected" in words
    nothing = replace(of_all, values=np.zeros_like(heat.values), peak_score=0.0)
    words = text_of(app.test_client().get(stored(app, replace(inspection, boxes=(), heatmap=nothing))).text)
    assert "Look at the heat map" not in words and "Look at the whole part." in words
    assert "Nothing in the picture speaks for a defect." in words


def test_a_class_that_no_file_describes_is_shown_all_the_same(app: Flask) -> None:
    words = text_of(app.test_client().get(filed(app, "reject", "Weld_Spatter")).text)
    assert "REJECT : Weld Spatter" in words


def test_figures_of_the_model_are_shown_with_their_interval(app: Flask) -> None:
    recall = {"value": 0.971, "low": 0.94, "high": 0.989}
    metrics = {
        "tested": 812, "ece": 0.0244, "datasets": {"DAGM": {"recall": recall}},
        "templates": {"recall": recall}, "own_group": {"own_figure": 3},
    }  # fmt: skip
    words = text_of(app.test_client().get(filed(app, "reject", metrics=metrics)).text)
    said = "Recall: defective parts that were not accepted 97.1 % (95 % interval 94.0 % to 98.9 %)"
    assert "All parts Parts tested 812 Expected calibration error (ECE) 0.024" in words
    assert f"DAGM {said} Held against their templates {said} own group own figure 3" in words


def test_a_clients_file_name_is_escaped(client: FlaskClient) -> None:
    response = send_form(client, encoded(cracked()), '<script>alert(1)<b>"&.png')
    for address in (response.headers["Location"], "/"):
        page = client.get(address).text
        assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_pictures_are_kept_by_the_browser_and_named_for_saving(app: Flask) -> None:
    address = filed(app, "reject")
    response = app.test_client().get(f"{address}/pictures/boxes")
    assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert re.search(r"inline; filename=INSP-\d{4}-000001-boxes.png", response.headers["Content-Disposition"])


def test_the_pdf_is_named_after_the_inspection(app: Flask) -> None:
    response = app.test_client().get(filed(app, "accept") + "/report.pdf")
    assert response.data.startswith(b"%PDF-")
    assert "INSP-" in response.headers["Content-Disposition"]


@pytest.mark.parametrize("rest", ["", "/report.pdf", "/inspection.json", "/pictures/original", "/thumbnail"])
def test_a_wrong_id_is_a_friendly_404(client: FlaskClient, rest: str) -> None:
    response = client.get(f"/inspections/{'0' * 32}{rest}")
    assert response.status_code == 404
    assert "no such inspection" in response.text


def test_an_address_beyond_what_can_be_is_no_fault_of_ours(client: FlaskClient) -> None:
    far, huge = "9" * 20, "1" * 5000
    expected = {
        "/history?to=9999-12-31": 400,
        "/history?from=0001-01-01": 400,
        f"/history?after=1_{far}": 400,
        "/history?q=&endpoint=x": 200,
        "/history?q=&_external=1&_scheme=javascript": 200,
        "/lots?q=&endpoint=x": 200,
        "/trust/agreement?to=9999-12-31": 400,
        "/trust/agreement?to=0001-01-05": 400,
        f"/trust/drift?n={huge}": 400,
        "/api/v1/inspections?to=9999-12-31": 400,
        f"/api/v1/inspections?after=1_{far}": 400,
        "/api/v1/trust/agreement?to=9999-12-31": 400,
        f"/api/v1/trust/drift?n={huge}": 400,
        f"/users/{far}": 404,
        f"/templates/{far}/picture": 404,
        f"/trust/golden/parts/{far}/picture": 404,
        f"/trust/golden/photos/{far}/picture": 404,
    }
    found = {address: client.get(address, follow_redirects=True).status_code for address in expected}
    assert found == expected


@pytest.mark.parametrize("kind", ["upload", "upload.bin", "..%2f..%2fflawsight.db", "nothing"])
def test_no_other_file_of_an_inspection_is_served(app: Flask, kind: str) -> None:
    assert app.test_client().get(f"{filed(app, 'reject')}/pictures/{kind}").status_code == 404


def test_an_inspection_that_lost_its_picture_says_so(app: Flask, tmp_path: Path) -> None:
    address = filed(app, "reject")
    for file in (tmp_path / "instance").rglob("boxes.png"):
        file.unlink()
    response = app.test_client().get(f"{address}/pictures/boxes")
    assert response.status_code == 503 and "cannot be read" in response.text


# --- errors as pages ----------------------------------------------------------------------------------

BAD = {
    "not an image": (b"hello", 415, "not an image that can be read"),
    "truncated": (encoded(cracked())[:300], 415, "ends early"),
    "empty": (b"", 400, "The file is empty"),
    "bomb": (bomb(), 413, "pixels"),
    "over the limit": (bytes(2**21), 413, "larger than 1 MiB"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_a_page_that_says_what_to_do_and_the_app_goes_on(
    client: FlaskClient, kind: str
) -> None:
    data, status, words = BAD[kind]
    response = send_form(client, data)
    assert response.status_code == status
    assert words in text_of(response.text) and "Back to the start page" in response.text
    assert send_form(client, encoded(cracked())).status_code == 303


def test_a_form_without_a_file_is_told_to_choose_one(client: FlaskClient) -> None:
    response = client.post("/inspections", data={"csrf_token": token(client)})
    assert response.status_code == 400 and "Choose an image" in response.text


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 429, 500, 503])
def test_every_error_is_a_page_for_people_and_an_object_for_programs(tmp_path: Path, status: int) -> None:
    app = tiny_app(tmp_path)
    app.add_url_rule("/fail", "fail", lambda: abort(status))
    app.add_url_rule("/api/fail", "api_fail", lambda: abort(status))
    client = app.test_client()
    page, answer = client.get("/fail"), client.get("/api/fail")
    assert page.status_code == answer.status_code == status
    assert f"Error {status}" in page.text and "Back to the start page" in page.text
    assert set(answer.get_json()) == PROBLEM_KEYS
    close(app)


def test_a_fault_of_ours_shows_no_details_and_the_app_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(TinyEngine):
        def run(self, batch):  # type: ignore[no-untyped-def]
            raise RuntimeError("secret detail")

    app = create_app(settings_in(tmp_path), Inspector(Faulty()))
    client = app.test_client()
    response = send_form(client, encoded(cracked()))
    assert response.status_code == 500 and "secret detail" not in response.text
    assert "secret detail" in caplog.text
    assert client.get("/").status_code == 200
    close(app)


# --- protection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/nowhere", "/healthz", "/static/flawsight.css", "/api/v1/nowhere"])
def test_every_answer_carries_the_protecting_headers(client: FlaskClient, address: str) -> None:
    with client.get(address) as response:
        headers = response.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=(self)" in headers["Permissions-Policy"]


def test_templates_hold_no_inline_script_or_style() -> None:
    templates = list((PROJECT_ROOT / "templates").glob("*.html"))
    assert templates
    for template in templates:
        source = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|\|\s*safe", source), template.name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", source)), template.name


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: FlaskClient) -> None:
    cookie = client.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


@pytest.mark.parametrize("address", ["/inspections", "/samples/MT_Crack_1.png"])
@pytest.mark.parametrize("sent", [{}, {"csrf_token": "made up"}])
def test_a_form_that_is_not_ours_is_refused(client: FlaskClient, address: str, sent: dict[str, str]) -> None:
    client.get("/")
    response = client.post(address, data=sent)
    assert response.status_code == 400 and "not sent from a page of this server" in response.text


def test_another_site_cannot_send_a_form_even_with_a_token(client: FlaskClient) -> None:
    data, headers = {"csrf_token": token(client)}, {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/samples/MT_Crack_1.png", data=data, headers=headers).status_code == 403


def test_a_page_left_open_still_works_after_a_restart(app: Flask, tmp_path: Path) -> None:
    old = app.test_client()
    held = token(old)
    cookie = old.get_cookie("flawsight")
    assert cookie
    close(app)
    restarted = tiny_app(tmp_path)
    client = restarted.test_client()
    client.set_cookie("flawsight", cookie.value)
    assert client.post("/samples/MT_Crack_1.png", data={"csrf_token": held}).status_code == 303
    close(restarted)


def test_the_key_is_readable_by_its_owner_only(app: Flask, tmp_path: Path) -> None:
    assert (tmp_path / "instance" / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5000"])
def test_a_server_on_this_computer_answers_to_its_own_names_only(client: FlaskClient, name: str) -> None:
    assert client.get("/", headers={"Host": name}).status_code == 400


@pytest.mark.parametrize("name", ["localhost:5000", "127.0.0.1:8000", "[::1]:5000", "127.0.0.2"])
def test_its_own_names_are_all_good(client: FlaskClient, name: str) -> None:
    assert client.get("/", headers={"Host": name}).status_code == 200


# --- starting -----------------------------------------------------------------------------------------


def test_serving_an_onnx_model_never_imports_torch_nor_reportlab_before_the_first_report(
    tmp_path: Path, tiny_model: Path
) -> None:
    code = """
import io, json, sys
from pathlib import Path
import numpy as np
from flawsight.imaging import encode_png
from flawsight.settings import Settings
from flawsight.web import create_app
app = create_app(Settings(instance=Path(sys.argv[1]), model=Path(sys.argv[2])))
client = app.test_client()
client.get("/")
data = encode_png(np.full((96, 96, 3), 150, np.uint8))
answer = client.post("/api/v1/inspections", data={"file": (io.BytesIO(data), "a.png")})
early = "reportlab" in sys.modules
pdf = client.get(answer.get_json()["links"]["pdf"])
heavy = [name for name in ("torch", "lightning", "sklearn", "matplotlib") if name in sys.modules]
print(json.dumps([answer.status_code, pdf.status_code, heavy, early]))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "instance"), str(tiny_model)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [201, 200, [], False]


def test_a_taken_port_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(serve, ["--port", str(port), "--instance", str(tmp_path / "instance")])
    assert result.exit_code == 1
    assert f"Port {port} of 127.0.0.1 is already in use" in result.output
    assert "--port" in result.output and "Traceback" not in result.output


def test_an_instance_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(serve, ["--instance", str(tmp_path / "file" / "instance")])
    assert result.exit_code == 1
    assert "instance" in result.output and "Traceback" not in result.output


def test_a_setting_that_cannot_work_is_named() -> None:
    result = CliRunner().invoke(serve, ["--port", "many"])
    assert result.exit_code == 1 and "FLAWSIGHT_PORT" in result.output


def test_help_lists_every_setting_but_the_secret() -> None:
    output = CliRunner().invoke(serve, ["--help"]).output
    for flag in ("--host", "--port", "--instance", "--model", "--samples", "--max-upload-mb", "--threads"):
        assert flag in output
    assert "--secret-key" not in output


def test_the_app_starts_without_a_model_and_says_so(tmp_path: Path) -> None:
    """The very command of the user, as a process of its own."""
    environment = {
        **os.environ,
        "FLAWSIGHT_PORT": "0",
        "FLAWSIGHT_INSTANCE": str(tmp_path / "instance"),
        "FLAWSIGHT_MODEL": str(tmp_path / "none.onnx"),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "app.py"]
    with subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if "http://localhost:" in line:
                break
        process.terminate()
    assert any("python training.py" in line for line in said)
    assert re.search(r"http://localhost:[1-9]\d*", said[-1])


def test_a_model_of_many_families_is_listed_family_by_family(tmp_path: Path) -> None:
    classes = ("DAGM_Free", "DAGM_Class8", "MT_Free", "MT_Crack", "PCB_short")
    metadata = replace(METADATA, classes=classes, defects=("DAGM_Class8", "MT_Crack", "PCB_short"))
    app = create_app(settings_in(tmp_path), Inspector(TinyEngine(metadata=metadata)))
    page = app.test_client().get("/").text
    assert re.findall(r'<h3 id="family-[\w-]+">([^<]+)</h3>', page) == ["DAGM", "Magnetic Tile", "DeepPCB"]
    close(app)
