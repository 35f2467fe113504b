"""Pictures with boxes in the way of Pascal VOC, COCO or YOLO, read by the library supervision.

Each layout may have a level ``train``, ``valid`` (or ``val``) and ``test``::

    Pascal VOC  Annotations/NAME.xml with JPEGImages/NAME.jpg or images/NAME.jpg, or both beside each other
    COCO        NAME.json that lists images, annotations and categories, beside the images or in annotations/
                with the images in images/
    YOLO        data.yaml, and labels/NAME.txt with images/NAME.jpg

A picture takes the class that covers the most of it; one without a box is good.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flawsight.data.adapters.listing import folders_in, images_in
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import DataError

if TYPE_CHECKING:
    from supervision import DetectionDataset

GOOD = "good"
_SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_IMAGES = ("images", "JPEGImages")
_YAML = ("data.yaml", "dataset.yaml")
_COCO = {"images", "annotations", "categories"}


@dataclass(frozen=True)
class Part:
    """One split of a boxed set."""

    split: str | None
    images: Path
    load: Callable[[type[DetectionDataset]], DetectionDataset]


def find(root: Path) -> list[Part]:
    """The parts of a boxed set in ``root``; empty if it is none."""
    config = next((root / name for name in _YAML if (root / name).is_file()), None)
    tops: list[tuple[Path, str | None]] = [(root, None)]
    tops += [(folder, _SPLITS[folder.name.lower()]) for folder in folders_in(root) if _is_split(folder)]
    found = [part for top, split in tops for part in _parts(top, split, config)]
    if config is not None and not found:  # the other way round: images/train and labels/train
        found = [
            _yolo(folder, root / "labels" / folder.name, config, _SPLITS[folder.name.lower()])
            for folder in folders_in(root / "images" if (root / "images").is_dir() else root)
            if _is_split(folder) and (root / "labels" / folder.name).is_dir()
        ]
    return found


def samples(root: Path, parts: list[Part]) -> list[Sample]:
    """Every picture of ``parts`` with its boxes; each is a group of its own.

    Raises:
        DataError: the annotations cannot be read, or they are of no picture that is there.
    """
    from supervision import DetectionDataset  # here: it brings a video decoder along

    found: list[Sample] = []
    for part in parts:
        try:
            dataset = part.load(DetectionDataset)
            annotated = list(dataset.annotations.items())
        except Exception as error:  # parsers of XML, JSON and YAML each raise their own kinds
            raise DataError(
                f"The boxes of {part.images} cannot be read ({type(error).__name__}: {error}). "
                "Correct the file that is named, or export the set again."
            ) from error
        found += [_sample(root, Path(path), part.split, dataset.classes, boxes) for path, boxes in annotated]
    if not found:
        raise DataError(f"{root}: there are annotations, but none of their pictures. Put the pictures there.")
    return found


def _parts(top: Path, split: str | None, config: Path | None) -> Iterator[Part]:
    images = next((top / name for name in _IMAGES if _has(top / name)), top)
    labels = top / "labels"
    if config is not None and _has(labels, ".txt") and _has(images):
        yield _yolo(images, labels, config, split)
        return
    for folder in (top, top / "annotations"):
        for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            if _is_coco(file):
                own = next((s for name, s in _SPLITS.items() if name in file.stem.lower()), None)
                below = next((images / name for name in _SPLITS if name in file.stem.lower()), images)
                yield _coco(below if below.is_dir() else images, file, split or own)
                return
    for folder in (top / "Annotations", top / "annotations", top):
        if _has(folder, ".xml") and _has(images):
            yield _voc(images, folder, split)
            return


def _yolo(images: Path, labels: Path, config: Path, split: str | None) -> Part:
    return Part(split, images, lambda kind: kind.from_yolo(str(images), str(labels), str(config)))


def _coco(images: Path, file: Path, split: str | None) -> Part:
    return Part(split, images, lambda kind: kind.from_coco(str(images), str(file)))


def _voc(images: Path, folder: Path, split: str | None) -> Part:
    return Part(split, images, lambda kind: kind.from_pascal_voc(str(images), str(folder)))


def _has(folder: Path, suffix: str = "") -> bool:
    """Whether ``folder`` has images, or files that end in ``suffix``."""
    if not folder.is_dir():
        return False
    return any(folder.glob(f"*{suffix}")) if suffix else bool(images_in(folder))


def _is_split(folder: Path) -> bool:
    return folder.name.lower() in _SPLITS


def _is_coco(file: Path) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() >= _COCO


def _sample(root: Path, path: Path, split: str | None, classes: list[str], found: Any) -> Sample:
    boxes = tuple(  # coordinates are rounded, so that a box at the rim may leave the picture by a hair
        LabelledBox(
            max(0, math.floor(x1)),
            max(0, math.floor(y1)),
            math.ceil(x2),
            math.ceil(y2),
            classes[int(number)],
        )
        for (x1, y1, x2, y2), number in zip(found.xyxy.tolist(), found.class_id, strict=True)
    )
    area: dict[str, int] = defaultdict(int)
    for box in boxes:
        area[box.class_id] += max(0, box.x2 - box.x1) * max(0, box.y2 - box.y1)
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return Sample(
        path=path,
        class_id=max(area, key=lambda one: area[one]) if area else GOOD,
        dataset=root.name,
        group=name,
        boxes=boxes,
        publisher_split=split,
    )
