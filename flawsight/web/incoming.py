"""Uploads on their way in. Large ones lie in the folder for temporary files; a full disk there is told.

waitress by itself would hang up in the middle of such an upload, and nobody would know why.
"""

from __future__ import annotations

import errno
import tempfile
from io import BytesIO
from typing import Any

from flask import Flask, request
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from flawsight.errors import FlawsightError
from flawsight.i18n import marked

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM = "FLAWSIGHT_NO_ROOM"  # a header that only this server sets


class NoRoom(FlawsightError):
    """There is no room for what was sent, not even until it is looked at."""

    code = "unavailable"
    status = 503

    def __init__(self) -> None:
        message = marked(
            "The disk of the folder for temporary files, %(folder)s, is full; nothing was taken on. Make "
            "room there, then send it again."
        )
        super().__init__(message, folder=tempfile.gettempdir())


def install(app: Flask) -> None:
    """Let ``app`` answer uploads for which there was no room with the reason."""
    app.before_request(_refuse_what_was_lost)


def _refuse_what_was_lost() -> None:
    if request.environ.get(f"HTTP_{NO_ROOM}"):
        raise NoRoom


class _Request(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        self.headers.pop(NO_ROOM, None)
        if self.body_rcv is not None:
            self.body_rcv.buf = _Body(self.body_rcv.buf, self.headers)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that takes an upload to its end, also where it cannot be kept."""

    parser_class = _Request


class _Body:
    """What has arrived of an upload. From where there is no room for it, it is thrown away, with a note."""

    def __init__(self, kept: Any, headers: dict[str, str]) -> None:
        self._kept, self._headers, self._lost = kept, headers, False

    def append(self, data: bytes) -> None:
        if self._lost:
            return
        try:
            self._kept.append(data)
        except OSError:
            self._lost = True
            self._headers[NO_ROOM] = "1"
            self.close()

    def __len__(self) -> int:
        return 0 if self._lost else len(self._kept)

    def getfile(self) -> Any:
        return BytesIO() if self._lost else self._kept.getfile()

    def close(self) -> None:
        self._kept.close()
