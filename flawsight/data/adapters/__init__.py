"""One adapter per source layout; each only turns a directory into samples.

A new dataset is one module here and one row in ``ADAPTERS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flawsight.data.adapters import boxed, dagm, deeppcb, folders, magnetic_tile
from flawsight.data.samples import GENERATED, GENERATED_MARK, Sample
from flawsight.errors import DataError

# Each has ``find(root) -> Path | None`` (where its layout lies at or below ``root``) and
# ``samples(folder) -> list[Sample]``.
ADAPTERS = {"DAGM": dagm, "Magnetic Tile": magnetic_tile, "DeepPCB": deeppcb}


def find_samples(roots: Sequence[Path]) -> list[Sample]:
    """All samples below ``roots``: the unified families, else pictures with boxes, else class folders.

    Raises:
        DataError: a root is missing, or nothing in it has a known layout.
    """
    found: list[Sample] = []
    for number, root in enumerate(roots):
        if not root.is_dir():
            raise DataError(
                f"Data folder {root} does not exist. Name one that holds DAGM/, Magnetic-Tile-Defect/ or "
                "DeepPCB/, or one folder per class."
            )
        # Exported corrections name their folders like a family's classes, but are plain class folders.
        published = () if (root / folders.BOXES).is_file() else ADAPTERS.values()
        places = [(adapter, adapter.find(root)) for adapter in published]
        known = [(adapter, place) for adapter, place in places if place is not None]
        here = [sample for adapter, place in known for sample in adapter.samples(place)]
        if not known:
            parts = boxed.find(root)
            here = boxed.samples(root, parts) if parts else folders.samples(root)
        # Two roots may use the same file numbers for different parts, and a drawn part is no real one.
        kind = f" {GENERATED}" if (root / GENERATED_MARK).is_file() else ""
        found += [replace(s, group=f"{number}/{s.group}", dataset=s.dataset + kind) for s in here]
    return found
