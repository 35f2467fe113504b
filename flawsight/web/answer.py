"""What form and API share: the upload they take and the JSON they give."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request, url_for

from flawsight.errors import EmptyUpload
from flawsight.records import Record
from flawsight.records.reviews import Review
from flawsight.web.view import summary

NAME_LENGTH = 200  # characters of a client's file name that are kept


def uploaded() -> tuple[bytes, str]:
    """The bytes of the field ``file`` and what the sender calls it.

    Raises:
        EmptyUpload: there is no such field, or no file was chosen.
    """
    upload = request.files.get("file")
    if upload is None:
        raise EmptyUpload("No file arrived. Choose an image and send it in the form field 'file'.")
    return upload.read(), display_name(upload.filename or "")


def display_name(name: str) -> str:
    """The last part of a client's file name, without control characters, for showing only."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(sign for sign in last if sign.isprintable()).strip()[-NAME_LENGTH:] or "unnamed"


def to_json(record: Record, review: Review | None = None) -> Response:
    """The inspection as filed, with its number, time and links, and the answer of a person that counts.

    The headline is what pages say of the model's verdict, in the language of whoever asks.
    """
    headline = summary(record).headline
    return jsonify({**describe(record), "headline": headline, "review": review.to_dict() if review else None})


def describe(record: Record) -> dict[str, Any]:
    """``flawsight.inspection/1`` plus ``id``, ``number``, ``created_at``, ``links``.

    Links are paths on this server: what the asker calls the server is not ours to repeat.
    """

    def link(endpoint: str, kind: str | None = None) -> str:
        return url_for(endpoint, inspection_id=record.id, kind=kind)

    return {
        **record.data,
        "id": record.id,
        "number": record.number,
        "created_at": record.created_at.isoformat(),
        "record_sha256": record.record_sha256,
        "links": {
            "self": link("api.show"),
            "page": link("inspections.show"),
            "pdf": link("api.report"),
            "json": link("inspections.as_json"),
            "thumbnail": link("api.thumbnail"),
            "pictures": {kind: link("api.picture", kind) for kind in record.pictures},
        },
    }
