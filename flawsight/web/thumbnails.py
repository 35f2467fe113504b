"""Small pictures for lists, so that a start page never loads twelve camera photos."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from flask import Response, send_file
from PIL import Image

from flawsight import imaging
from flawsight.web.service import service

KEPT = "thumbnail.png"
SIDE = 320  # pixels; shown at half of it or less, so it stays sharp on a dense screen


def send_thumbnail(path: Path, keep_s: int) -> Response:
    """A small PNG of the image file ``path``, to be kept by the browser for ``keep_s`` seconds.

    Raises:
        ImageError: the file is gone or no image.
    """
    limit = service().settings.max_pixels
    response = send_file(BytesIO(_shrunk(path, _changed(path), limit)), mimetype="image/png")
    response.headers["Cache-Control"] = f"private, max-age={keep_s}"
    return response


def send_kept_thumbnail(path: Path, keep_s: int) -> Response:
    """As :func:`send_thumbnail`, for a picture that never changes: made once and kept beside it.

    Raises:
        ImageError: the file is gone or no image.
    """
    kept = path.with_name(KEPT)
    if not kept.is_file():
        small = _shrunk(path, _changed(path), service().settings.max_pixels)
        try:
            _keep(kept, small)
        except OSError:  # a full or read-only disk: the list is shown all the same
            return send_thumbnail(path, keep_s)
    response = send_file(BytesIO(kept.read_bytes()), mimetype="image/png")
    response.headers["Cache-Control"] = f"private, max-age={keep_s}"
    return response


def _keep(path: Path, content: bytes) -> None:
    """Whole or not at all, but without waiting for the disk: what is lost is made again."""
    temporary = path.with_suffix(f".{uuid4().hex}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=512)
def _shrunk(path: Path, changed: int, max_pixels: int) -> bytes:
    """``changed`` only tells one state of the file from another."""
    image = Image.fromarray(imaging.read_image(path, max_bytes=2**40, max_pixels=max_pixels))
    image.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
