"""What `python -m flawsight compare` and its kin left: one folder a study, see docs/lab.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flawsight.errors import NotFound
from flawsight.inspection.library import InstalledModel, look

SCHEMA = "flawsight.comparison/1"
FILE = "comparison.json"
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Study:
    """One study: its folder's name and the content of its file."""

    key: str
    folder: Path
    content: dict[str, Any]

    def charts(self) -> dict[str, Path]:
        """The charts that the study names and that are there, by file name."""
        paths = [self.folder / str(name) for name in self.content.get("charts") or []]
        inside = [path for path in paths if path.resolve().is_relative_to(self.folder.resolve())]
        return {path.name: path for path in inside if path.suffix == ".png" and path.is_file()}

    def models(self) -> dict[str, InstalledModel]:
        """The best network of each entry that is still there, by label."""
        found = {}
        for entry in self.content["entries"]:
            for run in sorted(entry.get("runs") or [], key=lambda run: not run.get("best")):
                path = self.folder / str(run.get("model") or "")
                if path.is_file() and path.resolve().is_relative_to(self.folder.resolve()):
                    found[str(entry["label"])] = look(path, key=f"{self.key}/{entry['label']}")
                    break
        return found


def studies(folder: Path) -> list[Study]:
    """All studies in ``folder``, latest first."""
    files = folder.glob(f"*/{FILE}") if folder.is_dir() else ()
    found = [Study(path.parent.name, path.parent, content) for path in files if (content := _content(path))]
    return sorted(found, key=lambda study: str(study.content.get("created", "")), reverse=True)


def find_study(folder: Path, key: str) -> Study:
    """The study ``key``: looked up in the listing, so no path from outside is ever opened.

    Raises:
        NotFound: there is none.
    """
    for study in studies(folder):
        if study.key == key:
            return study
    raise NotFound("There is no such comparison. The list shows those that are there.")


def _content(path: Path) -> dict[str, Any]:
    state = path.stat()
    return _read(path, state.st_mtime_ns) if state.st_size <= MAX_BYTES else {}


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> dict[str, Any]:
    """Empty if it is no study; ``changed`` tells one state of the file from another."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    ours = (
        isinstance(value, dict) and value.get("schema") == SCHEMA and isinstance(value.get("entries"), list)
    )
    return value if ours else {}
