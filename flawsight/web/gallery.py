"""The sample gallery: what lies in one folder, under names a person can read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flawsight import imaging
from flawsight.errors import NotFound
from flawsight.i18n import gettext as _
from flawsight.i18n import marked

# What the shipped samples are called; anybody else's file is called as it is named.
SHIPPED = (
    marked("Board good"), marked("Board region open"), marked("Board region short"),
    marked("Board six defects"), marked("Texture defect class 1"), marked("Texture defect class 4"),
    marked("Texture defect class 8"), marked("Texture good class 1"), marked("Texture good class 8"),
    marked("Tile blowhole"), marked("Tile crack"), marked("Tile good"), marked("Tile uneven"),
)  # fmt: skip
TRUTH = "truth"  # folder of the masks, as ``data.generate.gallery`` writes them
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class SampleImage:
    """One image of the gallery: ``name`` is the file's own, ``title`` is for people."""

    name: str
    title: str
    path: Path


def list_samples(folder: Path) -> list[SampleImage]:
    """The images directly in ``folder``, by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    return [
        SampleImage(path.name, _title(path.stem), path)
        for path in sorted(files, key=lambda path: path.name.lower())
    ]


def find_sample(folder: Path, name: str) -> SampleImage:
    """The sample called ``name``: looked up in the listing, so no path from outside is ever opened.

    Raises:
        NotFound: the listing has no such name.
    """
    for sample in list_samples(folder):
        if sample.name == name:
            return sample
    raise NotFound(
        "There is no sample of that name. Go back to the start page and pick one from the gallery."
    )


def find_truth(folder: Path, name: str, sha256: str) -> Path | None:
    """The mask of what is known to be wrong with the sample ``name``; ``None`` if nothing is known.

    Args:
        sha256: of the inspected bytes, since any file may bear the name of a sample.
    """
    for sample in list_samples(folder):
        if sample.name == name:  # only now: the name of an upload may be longer than that of any file
            mask = folder / TRUTH / f"{sample.path.stem}.png"
            known = mask.is_file() and imaging.sha256(sample.path.read_bytes()) == sha256
            return mask if known else None
    return None


def _title(stem: str) -> str:
    """``tile_crack-2`` as "Tile crack 2"; a shipped sample in the reader's language."""
    spaced = re.sub(r"(?<=[A-Za-z])(?=\d)", " ", re.sub(r"[_\W]+", " ", stem))
    title = " ".join(spaced.split()) or stem
    title = title[:1].upper() + title[1:]
    return _(title) if title in SHIPPED else title
