"""Directory reading shared by the adapters."""

from __future__ import annotations

from pathlib import Path

from flawsight.data.samples import IMAGE_SUFFIXES
from flawsight.errors import DataError


def folders_in(folder: Path) -> list[Path]:
    """Sub-folders by name, hidden ones left out."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def images_in(folder: Path) -> list[Path]:
    """Image files directly in ``folder``, by name."""
    return sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
    )


def wrong_layout(folder: Path, expected: str) -> DataError:
    """An error that names the folder, what was expected and what was found."""
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir())[:8]
    found = ", ".join(names) if names else "nothing"
    return DataError(f"{folder}: expected {expected}; found {found}.")
