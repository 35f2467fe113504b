"""What people corrected, as a dataset to train on: one folder per class, and the boxes beside them.

corrections/
├── boxes.json                      path to boxes, half-open pixel xyxy with their class
├── MT_Crack/INSP-2026-000017.png   the image as received
└── MT_Free/...
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from flawsight.atomic import write_bytes, write_text
from flawsight.errors import RecordError
from flawsight.records.record import Record
from flawsight.records.reviews import Review, Reviews

BOXES = "boxes.json"
# As received, an image is what a later inspection will see; what training cannot read is taken as filed.
_SUFFIXES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"RIFF": ".webp",
}
# A class and a number, and so nothing outside of the folder.
_OURS = re.compile(r"[\w -]+/INSP-\d{4}-\d{6,}\.[a-z]{3,4}")


def write_folder(reviews: Reviews, out: Path, only_corrected: bool = True) -> int:
    """Write the dataset into the folder ``out``; how many images.

    It takes the place of what was written there before: an image whose answer has changed since would
    otherwise lie in the folders of two classes. Where there is nothing to write, all is left as it is.

    Raises:
        RecordError: an image of the history is gone.
        OSError: the folder cannot be written to.
    """
    boxes = {}
    for name, content, review in _images(reviews, only_corrected):
        write_bytes(out / name, content)
        boxes[name] = [box.to_dict() for box in review.boxes]
    if boxes:
        for name in _written_before(out) - boxes.keys():
            (out / name).unlink(missing_ok=True)
            with suppress(OSError):  # others lie in it
                (out / name).parent.rmdir()
        write_text(out / BOXES, _text(boxes))
    return len(boxes)


def _written_before(out: Path) -> set[str]:
    """The images that the boxes in ``out`` name, as far as they are called as we call them."""
    try:
        named = json.loads((out / BOXES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    return {name for name in named if _OURS.fullmatch(name)} if isinstance(named, dict) else set()


def write_zip(reviews: Reviews, out: IO[bytes], only_corrected: bool = True) -> int:
    """The same as one ZIP file."""
    boxes = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # images do not get smaller
        for name, content, review in _images(reviews, only_corrected):
            archive.writestr(f"corrections/{name}", content)
            boxes[name] = [box.to_dict() for box in review.boxes]
        archive.writestr(f"corrections/{BOXES}", _text(boxes))
    return len(boxes)


def _images(reviews: Reviews, only_corrected: bool) -> Iterator[tuple[str, bytes, Review]]:
    """Path in the dataset, bytes, and answer; what belongs to no class is left out."""
    for record, review in reviews.walk(only_corrected):
        if review.verdict != "unknown":
            content, suffix = _image(record)
            yield f"{_folder(review.class_id)}/{record.number}{suffix}", content, review


def _image(record: Record) -> tuple[bytes, str]:
    """The image and its suffix: as received if that can be read in training, else as it was filed."""
    contents: list[bytes] = []
    for read in (record.received, partial(record.read, "original")):
        with suppress(RecordError):  # one of the two does
            contents.append(read())
    if not contents:
        contents = [record.received()]  # and says what is wrong with it
    for content in contents:
        for magic, suffix in _SUFFIXES.items():
            if content.startswith(magic):
                return content, suffix
    return contents[-1], ".png"


def _folder(class_id: str) -> str:
    """A class as the name of a folder; a class of ours is one already."""
    return "".join(sign if sign.isalnum() or sign in "_- " else "_" for sign in class_id).strip() or "_"


def _text(boxes: dict[str, list[dict[str, object]]]) -> str:
    return json.dumps(boxes, indent=1, sort_keys=True) + "\n"
