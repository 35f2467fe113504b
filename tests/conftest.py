"""Fixtures that several test files share: a tiny engine, its parts, its twin as a model, an app with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from numpy.typing import NDArray
from sqlalchemy import Engine
from tiny_parts import SCRATCH, tiny_onnx
from web_client import close, tiny_app

from flawsight.imaging import encode_png
from flawsight.inspection.engines import HEAD_KEY
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import HEAD, METADATA, TinyEngine
from flawsight.metadata import ONNX_KEY
from flawsight.records import Store
from flawsight.records.store import _migrate


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an empty history, made by all migrations."""
    instance = tmp_path_factory.mktemp("new") / "instance"
    with closing(Store(instance)) as store:
        with closing(sqlite3.connect(store.database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return store.database.read_bytes()


@pytest.fixture(autouse=True)
def _histories_begin_with_a_copy(new_database: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests begin with an empty history; the migrations need a tenth of a second for each."""

    def migrate(engine: Engine) -> None:
        database = Path(engine.url.database or "")
        if not database.exists():
            copy = database.with_name(uuid4().hex)
            copy.write_bytes(new_database)
            with suppress(FileExistsError):  # of two at once, the first
                os.link(copy, database)
            copy.unlink()
        _migrate(engine)

    monkeypatch.setattr("flawsight.records.store._migrate", migrate)


@pytest.fixture
def inspector() -> Inspector:
    """An inspector that needs no model file."""
    return Inspector(TinyEngine())


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """An app with the tiny engine and an empty history."""
    app = tiny_app(tmp_path)
    yield app
    close(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def store(app: Flask) -> Store:
    store = app.extensions["flawsight"].store
    assert isinstance(store, Store)
    return store


@pytest.fixture
def good_part() -> NDArray[np.uint8]:
    """A plain, slightly noisy grey surface, RGB (192, 256, 3)."""
    noise = np.random.default_rng(7).normal(150, 3, (192, 256, 1))
    return np.repeat(noise.round().astype(np.uint8), 3, axis=2)


@pytest.fixture
def scratched_part(good_part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The good part with one dark scratch inside ``SCRATCH``."""
    x1, y1, x2, y2 = SCRATCH
    part = good_part.copy()
    cv2.line(part, (x1 + 1, y1 + 1), (x2 - 2, y2 - 2), (40, 40, 40), 2)
    return part


@pytest.fixture
def part_files(tmp_path: Path, good_part: NDArray[np.uint8], scratched_part: NDArray[np.uint8]) -> Path:
    """A folder with ``good.png``, ``deep/scratched.png`` and a broken ``deep/broken.png``."""
    folder = tmp_path / "parts"
    (folder / "deep").mkdir(parents=True)
    (folder / "good.png").write_bytes(encode_png(good_part))
    (folder / "deep" / "scratched.png").write_bytes(encode_png(scratched_part))
    (folder / "deep" / "broken.png").write_bytes(encode_png(good_part)[:200])
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``TinyEngine`` as an ONNX file, made of real ONNX operators."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_onnx({ONNX_KEY: METADATA.to_json(), HEAD_KEY: HEAD.to_text()}))
    return path


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated images of all three families in their publishers' layouts. Read only."""
    from flawsight.data.generate import generate

    root = tmp_path_factory.mktemp("drawn") / "data"
    generate(root, per_class=3, seed=1)
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that measure the memory of the process run before others fill it."""
    items.sort(key=lambda item: item.path.name != "test_fuzz.py")  # a stable sort: all else keeps its order


@pytest.fixture
def clock_of_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This computer stands where summer time ends on the last Sunday of October."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(
            "only an administrator may mount a disk here; test_records.py limits the file size instead"
        )
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
