"""One labelled place in one image: what every adapter yields and everything after it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GENERATED_MARK = "generated.json"  # lies in a folder that the generator drew
GENERATED = "(generated)"  # ends the dataset name of drawn samples: a drawn part is no real one
IMPLANTED = "(implanted)"  # ends that of real pictures into which a flaw was planted
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class LabelledBox:
    """Half-open pixel ``xyxy`` in the whole image, with the class of the defect inside."""

    x1: int
    y1: int
    x2: int
    y2: int
    class_id: str


@dataclass(frozen=True)
class Sample:
    """One labelled image, or one labelled region of it.

    Attributes:
        path: the image file.
        class_id: the class of the whole sample.
        dataset: family name: ``DAGM``, ``Magnetic Tile``, ``DeepPCB`` or the folder's name.
        group: images that share an origin (burst, board); one group is never in two splits.
        region: half-open pixel ``xyxy`` of the sample inside the image; ``None`` is all of it.
        mask: file in which pixels over 0 are the defect; ``None`` if there is none.
        boxes: defects as boxes, whole-image pixels; all defects of the image, also outside ``region``.
        template: file of a picture of the same part without a defect; ``None`` if there is none.
        publisher_split: ``train``, ``val`` or ``test`` where the layout itself divides; else ``None``.
    """

    path: Path
    class_id: str
    dataset: str
    group: str
    region: tuple[int, int, int, int] | None = None
    mask: Path | None = None
    boxes: tuple[LabelledBox, ...] = ()
    publisher_split: str | None = None
    template: Path | None = None


def family(dataset: str) -> str:
    """The family of parts that a dataset shows, be its pictures photographed, drawn or implanted."""
    return dataset.removesuffix(GENERATED).removesuffix(IMPLANTED).strip()
