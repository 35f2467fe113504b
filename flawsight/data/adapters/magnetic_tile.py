"""Magnetic Tile: ``MT_*/Imgs/expE_num_N.jpg`` with a pixel mask ``expE_num_N.png`` beside it.

Huang, Qiu, Yuan, "Surface defect saliency of magnetic tile", The Visual Computer, 2018.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from flawsight.data.adapters.listing import folders_in, wrong_layout
from flawsight.data.samples import Sample

DATASET = "Magnetic Tile"
CLASSES = ("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven", "MT_Free")
# One tile was photographed six times in a row: file numbers closer than this share a tile.
BURST_GAP = 100
_NAMES = ("Magnetic-Tile-Defect", "Magnetic-tile-defect-datasets.", "Magnetic-Tile")
_NUMBER = re.compile(r"num_(\d+)$")


def find(root: Path) -> Path | None:
    """The folder that holds ``MT_*``: a known name below ``root`` or ``root`` itself."""
    for name in _NAMES:
        if (root / name).is_dir():
            return root / name
    return root if any((root / name).is_dir() for name in CLASSES) else None


def samples(folder: Path) -> list[Sample]:
    """All photographs, grouped by the burst they were taken in.

    Raises:
        DataError: no known class folder, or one without photographs.
    """
    present = [p for p in folders_in(folder) if p.name in CLASSES]
    if not present:
        raise wrong_layout(folder, f"folders {', '.join(CLASSES)}")
    photos: list[tuple[Path, str]] = []
    for class_folder in present:
        images = class_folder / "Imgs"
        files = sorted(images.glob("*.jpg")) if images.is_dir() else []
        if not files:
            raise wrong_layout(class_folder, "Imgs/expE_num_N.jpg with masks expE_num_N.png")
        photos += [(path, class_folder.name) for path in files]
    bursts = burst_groups([path for path, _ in photos])
    return [
        Sample(
            path=path,
            class_id=class_id,
            dataset=DATASET,
            group=bursts[path],
            mask=_mask(path) if class_id != "MT_Free" else None,
        )
        for path, class_id in photos
    ]


def burst_groups(paths: list[Path]) -> dict[Path, str]:
    """Group of each photograph: chained by gaps of at most ``BURST_GAP`` between file numbers."""
    groups = {path: f"MT/{path.stem}" for path in paths}
    numbered = sorted((int(m[1]), path) for path in paths if (m := _NUMBER.search(path.stem)))
    if not numbered:
        return groups
    first = numbered[0][0]
    groups[numbered[0][1]] = f"MT/burst-{first}"
    for (before, _), (number, path) in pairwise(numbered):
        if number - before > BURST_GAP:
            first = number
        groups[path] = f"MT/burst-{first}"
    return groups


def _mask(path: Path) -> Path | None:
    mask = path.with_suffix(".png")
    return mask if mask.is_file() else None
