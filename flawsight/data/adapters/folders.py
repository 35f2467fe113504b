"""Plain class folders: ``root/<class>/*``, or a level ``train|val|test`` above the classes.

A file ``boxes.json`` in the root may say where the defects are: the image's path below the root to
boxes ``{"x1", "y1", "x2", "y2", "class"}``, half-open pixels. Exported corrections have one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flawsight.data.adapters.listing import folders_in, images_in, wrong_layout
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import DataError

BOXES = "boxes.json"
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_EXPECTED = "one folder per class with images in it, or train/ and test/ (also val/) above such folders"


def samples(root: Path) -> list[Sample]:
    """Every image with its folder's name as class; each image is a group of its own.

    Raises:
        DataError: no class folders, a class folder without images, or boxes that cannot be read.
    """
    boxes = _boxes(root / BOXES)
    splits = [p for p in folders_in(root) if p.name.lower() in _SPLITS]
    tops: list[tuple[Path, str | None]] = [(p, _SPLITS[p.name.lower()]) for p in splits] or [(root, None)]
    found: list[Sample] = []
    for top, split in tops:
        classes = folders_in(top)
        if not classes:
            raise wrong_layout(top, _EXPECTED)
        for class_folder in classes:
            images = images_in(class_folder)
            if not images:
                raise DataError(
                    f"{class_folder}: expected images of class {class_folder.name!r}; found none. "
                    "Add images or remove the folder."
                )
            found += [
                Sample(
                    path=path,
                    class_id=class_folder.name,
                    dataset=root.name,
                    group=path.relative_to(root).as_posix(),
                    boxes=boxes.get(path.relative_to(root).as_posix(), ()),
                    publisher_split=split,
                )
                for path in images
            ]
    return found


def _boxes(file: Path) -> dict[str, tuple[LabelledBox, ...]]:
    """Path of an image below the root to its boxes; empty without the file."""
    if not file.is_file():
        return {}
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
        return {name: tuple(map(_box, boxes)) for name, boxes in stated.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} cannot be read as boxes ({error}). Export it again, or remove it to train without boxes."
        ) from error


def _box(stated: dict[str, Any]) -> LabelledBox:
    x1, y1, x2, y2 = (int(stated[key]) for key in ("x1", "y1", "x2", "y2"))
    return LabelledBox(x1, y1, x2, y2, str(stated["class"]))
