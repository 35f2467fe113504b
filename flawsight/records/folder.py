"""The files of one inspection on their way to the disk: whole, safe, and each content once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, TypeAlias

from flawsight.imaging import sha256

UPLOAD = "upload.bin"
UPLOAD_NAME = "upload"  # of that file beside the pictures' names
PENDING = "pending"  # mark inside a folder whose row is not committed yet
Picture: TypeAlias = bytes | Future[bytes]  # encoded, or still being made
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def content_of(picture: Picture) -> bytes:
    """Of a picture, waiting for it where it is still being made."""
    return picture.result() if isinstance(picture, Future) else picture


def file_name(name: str, content: bytes) -> str:
    """What the file of the picture ``name`` is called."""
    return name + next((suffix for magic, suffix in _SUFFIXES.items() if content.startswith(magic)), ".bin")


def file_folder(upload: bytes, pictures: Mapping[str, Picture], writing: Path, final: Path) -> dict[str, str]:
    """The folder ``final`` with an inspection's files, whole and safe on the disk, by way of ``writing``.

    Returns:
        Name (``UPLOAD_NAME`` or a picture's) to SHA-256, as ``record.picture_hashes`` gives it.
    """
    hashes = _write_folder(writing, {UPLOAD_NAME: upload, **pictures})
    writing.rename(final)
    _flush_folder(final.parent)
    return hashes


def _write_folder(folder: Path, files: Mapping[str, Picture]) -> dict[str, str]:
    """A new folder with ``files``, safe on the disk, and their hashes; the same bytes are stored once."""
    folder.mkdir()
    (folder / PENDING).touch()
    stored: dict[str, Path] = {}  # by hash
    hashes: dict[str, str] = {}
    known: dict[int, str] = {}  # hash by identity: the upload itself is often shown as a picture, or several
    with ExitStack() as opened:
        written: list[BinaryIO] = []
        for name, picture in files.items():
            if isinstance(picture, Future) and not picture.done():
                _flush(written)  # the disk is waited for while the picture is being made
            content = content_of(picture)
            path = folder / (UPLOAD if name == UPLOAD_NAME else file_name(name, content))
            if id(content) not in known:
                known[id(content)] = sha256(content)
            digest = hashes[name] = known[id(content)]
            if digest in stored and _linked(stored[digest], path):
                continue
            stored[digest] = path
            file = opened.enter_context(path.open("xb"))
            file.write(content)
            file.flush()
            written.append(file)
        _flush(written)
    _flush_folder(folder)
    return hashes


def _flush(files: list[BinaryIO]) -> None:
    """Make the content of ``files`` survive a power cut, and empty the list.

    All are on their way by now, so the first wait is nearly the only one.
    """
    for file in files:
        os.fsync(file.fileno())
    files.clear()


def _linked(file: Path, name: Path) -> bool:
    """Give ``file`` a second ``name``, where the disk can."""
    try:
        name.hardlink_to(file)
    except OSError:  # FAT and some network folders know of no second names
        return False
    return True


def _flush_folder(folder: Path) -> None:
    """Make names in ``folder`` survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
