"""A watched folder: each picture once, when it is whole, whatever else happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from template_parts import COMPARING, board
from web_client import close, cracked, encoded, settings_in, surface, tiny_app

from flawsight.cli import main
from flawsight.cli.watch import Watcher, levels
from flawsight.errors import RecordError, SettingsError
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import TinyEngine
from flawsight.records import Record
from flawsight.records.catalogue import moment
from flawsight.records.retention import Retention, Rule
from flawsight.records.search import Filter, History
from flawsight.settings import PROJECT_ROOT
from flawsight.web.service import Service

GOOD, BAD = encoded(surface()), encoded(cracked())
PATIENCE_S = 30.0


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(settings_in(tmp_path), Inspector(TinyEngine()))
    yield service
    service.store.close()


class Running:
    """A watcher at work, and what it has said."""

    def __init__(self, watcher: Watcher, lines: StringIO) -> None:
        self.watcher, self._lines = watcher, lines

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._lines.getvalue().splitlines()]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.lines()) >= count)
        return self.lines()


@contextmanager
def watching(parts: Path, service: Service, **options: Any) -> Iterator[Running]:
    lines = StringIO()
    watcher = Watcher(parts, service, lines, **{"settle_s": 0.2, **options})
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield Running(watcher, lines)
    finally:
        watcher.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def filed(service: Service) -> list[Record]:
    return list(History(service.store).walk(Filter(), "oldest"))


@pytest.mark.parametrize("how", [{}, {"poll_s": 0.1}], ids=["told by the system", "looking every 0.1 s"])
def test_what_is_there_and_what_arrives_is_inspected_and_filed(
    parts: Path, service: Service, how: dict[str, float]
) -> None:
    (parts / "first.png").write_bytes(BAD)
    with watching(parts, service, **how) as it:
        assert it.wait_for(1)[0]["verdict"] == "reject"
        (parts / "deep" / "er").mkdir(parents=True)
        (parts / "deep" / "er" / "second.png").write_bytes(GOOD)
        line = it.wait_for(2)[1]
    assert line["verdict"] == "accept" and line["image"]["path"] == str(parts / "deep" / "er" / "second.png")
    assert [record.number for record in filed(service)] == [line["number"] for line in it.lines()]
    assert (parts / "first.png").read_bytes() == BAD  # nothing is moved


def test_a_picture_is_inspected_when_it_is_whole(parts: Path, service: Service) -> None:
    with watching(parts, service, settle_s=0.5) as it, (parts / "slow.png").open("wb") as file:
        for start in range(0, len(BAD), 1 + len(BAD) // 5):
            file.write(BAD[start : start + 1 + len(BAD) // 5])
            file.flush()
            time.sleep(0.2)
        assert it.lines() == []
        assert it.wait_for(1)[0]["verdict"] == "reject"


def test_a_picture_whose_sender_paused_is_inspected_whole_all_the_same(parts: Path, service: Service) -> None:
    slow = parts / "slow.png"
    with watching(parts, service, settle_s=0.5) as it:
        slow.write_bytes(BAD[:400])
        time.sleep(1.0)  # whole by its size, not by its content
        slow.write_bytes(BAD)
        assert it.wait_for(1)[0]["verdict"] == "reject"


def test_a_picture_that_is_renamed_when_complete_is_seen(parts: Path, service: Service) -> None:
    with watching(parts, service) as it:
        (parts / "x.png.part").write_bytes(BAD)
        (parts / ".hidden.png").write_bytes(BAD)
        (parts / "x.png.part").rename(parts / "x.png")
        assert [line["image"]["name"] for line in it.wait_for(1)] == ["x.png"]


def test_one_bad_file_never_stops_the_rest(parts: Path, service: Service) -> None:
    (parts / "a.png").write_bytes(BAD[:400])
    (parts / "b.png").mkdir()
    (parts / "c.png").write_bytes(b"")
    (parts / "d.png").write_bytes(GOOD)
    with watching(parts, service) as it:
        lines = {line["image"]["name"]: line for line in it.wait_for(3)}
    assert lines["a.png"]["error"]["code"] == "not_an_image"
    assert lines["c.png"]["error"]["code"] == "empty_upload"
    assert lines["d.png"]["verdict"] == "accept"
    assert it.watcher.counts == {"failed": 2, "accept": 1}


def test_after_a_restart_nothing_is_inspected_twice(parts: Path, service: Service) -> None:
    (parts / "good.png").write_bytes(GOOD)
    (parts / "broken.png").write_bytes(b"broken")
    with watching(parts, service) as it:
        it.wait_for(2)
    (parts / "new.png").write_bytes(BAD)
    with watching(parts, service) as it:
        assert [line["image"]["name"] for line in it.wait_for(1)] == ["new.png"]
        time.sleep(0.5)
        assert len(it.lines()) == 1
    assert len(filed(service)) == 2


def test_without_its_list_it_still_knows_the_pictures_of_the_history(
    parts: Path, service: Service, tmp_path: Path
) -> None:
    (parts / "good.png").write_bytes(GOOD)
    with watching(parts, service) as it:
        [first] = it.wait_for(1)
    shutil.rmtree(tmp_path / "instance" / "watched")
    with watching(parts, service) as it:
        [again] = it.wait_for(1)
    assert again["repeated"] and again["number"] == first["number"]
    assert len(filed(service)) == 1


def test_a_line_of_the_list_that_a_crash_cut_off_does_no_harm(
    parts: Path, service: Service, tmp_path: Path
) -> None:
    (parts / "good.png").write_bytes(GOOD)
    with watching(parts, service) as it:
        it.wait_for(1)
    [file] = (tmp_path / "instance" / "watched").iterdir()
    file.write_text(file.read_text()[:-10])
    with watching(parts, service) as it:
        assert it.wait_for(1)[0]["repeated"]


def test_the_list_outlasts_a_start_while_the_folder_is_not_mounted(
    parts: Path, service: Service, tmp_path: Path
) -> None:
    (parts / "good.png").write_bytes(GOOD)
    with watching(parts, service) as it:
        it.wait_for(1)
    assert Retention(service.store).apply(Rule(0), "Ada", moment(2**52)).inspections == 1
    (parts / "good.png").rename(tmp_path / "good.png")
    with watching(parts, service):
        pass
    (tmp_path / "good.png").rename(parts / "good.png")
    (parts / "new.png").write_bytes(BAD)
    with watching(parts, service) as it:
        assert [line["image"]["name"] for line in it.wait_for(1)] == ["new.png"]


def test_what_was_changed_is_inspected_again(parts: Path, service: Service) -> None:
    (parts / "part.png").write_bytes(GOOD)
    with watching(parts, service) as it:
        it.wait_for(1)
        (parts / "part.png").write_bytes(BAD)
        assert [line["verdict"] for line in it.wait_for(2)] == ["accept", "reject"]


def test_the_context_comes_from_options_and_subfolders(parts: Path, service: Service) -> None:
    folder = parts / "4711" / "L-8"
    folder.mkdir(parents=True)
    (folder / "part.png").write_bytes(BAD)
    (parts / "plain.png").write_bytes(GOOD)
    options = {"context": {"lot": "L-1", "station": "S2"}, "levels": levels("part/lot")}
    with watching(parts, service, **options) as it:
        it.wait_for(2)
    contexts = {record.data["image"]["name"]: record.data["context"] for record in filed(service)}
    assert contexts["part.png"] == {"lot": "L-8", "station": "S2", "part_number": "4711"}
    assert contexts["plain.png"] == {"lot": "L-1", "station": "S2"}


def test_a_name_that_the_system_cannot_spell_is_filed_as_far_as_it_can_be_shown(
    parts: Path, service: Service, tmp_path: Path
) -> None:
    Path(os.fsdecode(os.fsencode(parts) + b"/bad\xff.png")).write_bytes(BAD)
    with watching(parts, service) as it:
        [line] = it.wait_for(1)
    assert line["image"]["name"] == "bad\N{REPLACEMENT CHARACTER}.png"
    app = tiny_app(tmp_path)
    for address in ("/", "/history", f"/inspections/{line['id']}", f"/inspections/{line['id']}/report.pdf"):
        assert app.test_client().get(address).status_code == 200, address
    close(app)


def test_an_unknown_field_for_subfolders_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no 'colour'.*part, revision, lot"):
        levels("part/colour")


def test_pictures_are_moved_to_done_and_failed_and_none_is_overwritten(parts: Path, service: Service) -> None:
    (parts / "sub").mkdir()
    (parts / "sub" / "good.png").write_bytes(GOOD)
    (parts / "broken.png").write_bytes(b"broken")
    with watching(parts, service, move_to=parts) as it:  # their new places lie in the folder, too
        it.wait_for(2)
        (parts / "sub" / "good.png").write_bytes(BAD)
        it.wait_for(3)
        time.sleep(0.5)
        assert len(it.lines()) == 3
    left = {str(path.relative_to(parts)) for path in parts.rglob("*.png")}
    assert left == {"done/sub/good.png", "done/sub/good~2.png", "failed/broken.png"}


def test_a_fault_that_is_not_the_pictures_is_waited_out(
    parts: Path, service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, refused = service.inspect, []

    def full_at_first(*arguments: Any) -> Record:
        if len(refused) < 2:
            refused.append(1)
            raise RecordError("The disk is full. Free some space.")
        return real(*arguments)

    monkeypatch.setattr("flawsight.cli.watch.RETRY_S", 0.1)
    monkeypatch.setattr(service, "inspect", full_at_first)
    (parts / "part.png").write_bytes(BAD)
    with watching(parts, service) as it:
        assert it.wait_for(1)[0]["verdict"] == "reject"
    assert capsys.readouterr().err == "Error: The disk is full. Free some space.\n"


def test_a_lost_template_stops_its_own_parts_alone_until_it_is_back(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flawsight.cli.watch.RETRY_S", 0.1)
    service = Service(settings_in(tmp_path), Inspector(TinyEngine(COMPARING)))
    templates, shown = service.fleet.templates, encoded(board())
    picture = templates.picture(templates.keep(shown, "good.png", "P1", "", "A. Kern").id)
    picture.unlink()
    for number in ("P1", "P2", "P3"):
        (parts / number).mkdir()
        (parts / number / "part.png").write_bytes(encoded(board(seed=ord(number[1]))))
    with watching(parts, service, levels=levels("part")) as it:
        it.wait_for(2)
        picture.write_bytes(shown)
        lines = it.wait_for(3)
    service.store.close()
    assert [line["context"]["part_number"] for line in lines] == ["P2", "P3", "P1"]
    assert lines[2]["method"]["template"]["name"] == "good.png"
    assert "The template good.png of this part is gone or was altered." in capsys.readouterr().err


def test_the_command_stops_cleanly_and_the_history_page_shows_what_it_filed(
    parts: Path, tmp_path: Path, tiny_model: Path
) -> None:
    (parts / "tile 9.png").write_bytes(BAD)
    settings = settings_in(tmp_path)
    command = [sys.executable, "-m", "flawsight", "watch", str(parts), "--lot", "L-42", "--settle", "0.2"]
    running = subprocess.Popen(
        [*command, "--model", str(tiny_model), "--instance", str(settings.instance)],
        cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    assert running.stdout is not None
    line = json.loads(running.stdout.readline())
    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=PATIENCE_S)[1]
    assert running.returncode == 0
    assert said.splitlines()[-1] == "Stopped. 1 picture: 1 reject"
    app = tiny_app(tmp_path)
    page = app.test_client().get("/history?lot=L-42").text
    assert line["number"] in page and "tile 9.png" in page
    close(app)


def test_without_a_model_it_says_so_at_once(parts: Path, tmp_path: Path) -> None:
    arguments = [
        "watch",
        str(parts),
        "--model",
        str(tmp_path / "none.onnx"),
        "--instance",
        str(tmp_path / "i"),
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and result.stderr.startswith("Error: There is no model at")
