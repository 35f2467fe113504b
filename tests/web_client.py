"""What the web tests share: an app with the tiny engine, image files of every kind, small actions."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import TinyEngine
from flawsight.settings import Settings
from flawsight.web import create_app

PROBLEM_KEYS = {"type", "title", "status", "detail", "instance", "code"}  # of RFC 9457, and our stable code


def surface(width: int = 160, height: int = 128) -> np.ndarray:
    """A good part: a bright, even surface with faint grain; grey uint8 (H, W)."""
    grain = np.random.default_rng(3).normal(0, 3, (height, width))
    return np.clip(170 + grain, 0, 255).astype(np.uint8)


def cracked(width: int = 160, height: int = 128) -> np.ndarray:
    """The same with a thin dark line."""
    pixels = surface(width, height)
    cv2.line(pixels, (40, 30), (90, 80), 15, 2)
    return pixels


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    """An image file's bytes; ``mode`` converts first, e.g. to CMYK."""
    image = Image.fromarray(pixels)
    buffer = BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind)
    return buffer.getvalue()


def animated() -> bytes:
    """A GIF of two frames: the cracked part, then the good one."""
    buffer = BytesIO()
    frames = [Image.fromarray(cracked()), Image.fromarray(surface())]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that claims ``side`` x ``side`` pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def settings_in(folder: Path, **values: object) -> Settings:
    """Settings whose every path lies in ``folder``, with three samples in it."""
    samples = folder / "sample"
    if not samples.exists():
        samples.mkdir()
        (samples / "MT_Crack_1.png").write_bytes(encoded(cracked()))
        (samples / "mt_free_2.png").write_bytes(encoded(surface()))
        (samples / "odd-name_of.mine.png").write_bytes(encoded(surface()))
        (samples / "README.txt").write_text("not an image")
        (folder / "secret.png").write_bytes(encoded(surface()))
    defaults = {"instance": folder / "instance", "samples": samples, "model": folder / "model.onnx"}
    return Settings(**{**defaults, **values})  # type: ignore[arg-type]


def tiny_app(folder: Path, **values: object) -> Flask:
    """An app on ``folder`` that inspects with the tiny engine."""
    settings = settings_in(folder, **values)
    limits = {"max_bytes": int(settings.max_upload_mb * 2**20), "max_pixels": settings.max_pixels}
    return create_app(settings, Inspector(TinyEngine(), **limits))


def close(app: Flask) -> None:
    app.extensions["flawsight"].store.close()


def post_file(
    client: FlaskClient,
    address: str,
    data: bytes,
    name: str,
    headers: dict[str, str] | None = None,
    **fields: str,
) -> TestResponse:
    """A multipart form with ``data`` as the field ``file``."""
    # Encoded here, since the test client leaves the temporary file of a large form open.
    boundary, body = encode_multipart({**fields, "file": FileStorage(BytesIO(data), filename=name)})
    kind = f"multipart/form-data; boundary={boundary}"
    return client.post(address, data=body, content_type=kind, headers=headers)


def send_to_api(client: FlaskClient, data: bytes, name: str = "part.png", **headers: str) -> TestResponse:
    """``POST /api/v1/inspections`` as a program does it; ``Sec_Fetch_Site="none"`` becomes a header."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return post_file(client, "/api/v1/inspections", data, name, named)


def token(client: FlaskClient) -> str:
    """The start page's form token."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def send_form(client: FlaskClient, data: bytes, name: str = "part.png") -> TestResponse:
    """Fill and send the start page's form as a browser without scripts does it."""
    return post_file(client, "/inspections", data, name, csrf_token=token(client))
