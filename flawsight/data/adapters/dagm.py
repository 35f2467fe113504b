"""DAGM 2007: ``ClassN/{Train,Test}/NNNN.PNG``, a defective one with ``Label/NNNN_label.PNG``.

Matthias Wieler, Tobias Hahn, Fred Hamprecht, "Weakly supervised learning for industrial optical
inspection", 2007 (Zenodo 8086136, CC BY 4.0).
"""

from __future__ import annotations

import re
from pathlib import Path

from flawsight.data.adapters.listing import folders_in, images_in, wrong_layout
from flawsight.data.samples import Sample

DATASET = "DAGM"
_CLASS = re.compile(r"Class(\d+)$")
_SPLITS = {"Train": "train", "Test": "test"}


def find(root: Path) -> Path | None:
    """The folder that holds ``ClassN``: ``root/DAGM`` or ``root`` itself."""
    if (root / "DAGM").is_dir():
        return root / "DAGM"
    return root if any(_CLASS.match(p.name) for p in folders_in(root)) else None


def samples(folder: Path) -> list[Sample]:
    """Defective images as ``DAGM_ClassN``, all others as ``DAGM_Free``.

    Raises:
        DataError: no ``ClassN``, or one without images or without any ``Label`` folder (all its defects
            would pass for good).
    """
    classes = sorted((int(name[1]), p) for p in folders_in(folder) if (name := _CLASS.match(p.name)))
    if not classes:
        raise wrong_layout(folder, "folders Class1 to Class10")
    found: list[Sample] = []
    for _, texture in classes:
        here = [
            sample
            for name, split in _SPLITS.items()
            if (texture / name).is_dir()
            for sample in _split_samples(texture / name, texture.name, split)
        ]
        if not here or not any((texture / name / "Label").is_dir() for name in _SPLITS):
            raise wrong_layout(texture, "PNG images in Train/ and Test/, masks in their Label/")
        found += here
    return found


def _split_samples(folder: Path, texture: str, split: str) -> list[Sample]:
    label_folder = folder / "Label"
    labels = images_in(label_folder) if label_folder.is_dir() else []
    masks = {mask.stem.lower().removesuffix("_label"): mask for mask in labels}
    return [
        Sample(
            path=path,
            class_id=f"DAGM_{texture}" if path.stem.lower() in masks else "DAGM_Free",
            dataset=DATASET,
            group=f"DAGM/{texture}/{split}/{path.stem}",
            mask=masks.get(path.stem.lower()),
            publisher_split=split,
        )
        for path in images_in(folder)
    ]
