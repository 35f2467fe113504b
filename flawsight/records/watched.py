"""What was already inspected out of a watched folder, so that a restart inspects nothing twice.

Two things are looked at. A list beside the database names every file that is done with, so that a restart
need not read a large folder again and what retention deleted does not come back. The history itself
knows pictures by their SHA-256: that is true also of the last one before a power cut.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from flawsight.atomic import write_text
from flawsight.errors import RecordError
from flawsight.records.record import Record
from flawsight.records.store import Store
from flawsight.records.tables import InspectionRow


class State(NamedTuple):
    """What changes when a file is written to."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> State | None:
        """The state of ``path`` now; ``None`` if it is gone, or no file."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_size, found.st_mtime_ns) if path.is_file() else None


class Watched:
    """The files of ``folder`` that are done with, kept in the instance folder of ``store``.

    Raises:
        RecordError: the list cannot be read or written.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder.resolve()
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        self.file = store.instance / "watched" / f"{name}.jsonl"
        self._done = self._read()

    def knows(self, path: Path, state: State) -> bool:
        """Whether ``path`` is done with, as it is now."""
        return self._done.get(self._name(path)) == state

    def filed(self, sha256: str) -> Record | None:
        """The first inspection of a picture with these bytes, from wherever it came."""
        first = (
            select(InspectionRow)
            .where(InspectionRow.image_sha256 == sha256)
            .order_by(InspectionRow.created_at)
            .limit(1)
        )
        with self.store.transaction("read") as session:
            row = session.scalar(first)
        return self.store.record(row) if row else None

    def done(self, path: Path, state: State) -> None:
        """From here on ``path`` is done with, until it changes."""
        self._done[self._name(path)] = state
        try:
            self.file.parent.mkdir(exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(_line(self._name(path), state))
        except OSError as error:
            raise self._trouble(error) from error

    def keep_only(self, paths: Iterable[Path]) -> None:
        """Forget the files that are no longer there, or the list would grow without end.

        Where nothing is there at all, the folder may be one that is not mounted: nothing is forgotten.
        """
        there = {self._name(path) for path in paths}
        gone = self._done.keys() - there
        if there and gone:
            self._done = {name: state for name, state in self._done.items() if name in there}
            try:
                write_text(self.file, "".join(_line(name, state) for name, state in self._done.items()))
            except OSError as error:
                raise self._trouble(error) from error

    def _read(self) -> dict[str, State]:
        found = {}
        try:
            text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        except OSError as error:
            raise self._trouble(error) from error
        for line in text.splitlines():
            try:
                name, size, mtime_ns = json.loads(line)
            except ValueError:  # cut off by a crash: the history still knows the picture
                continue
            found[name] = State(size, mtime_ns)
        return found

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)

    def _trouble(self, error: OSError) -> RecordError:
        return RecordError(
            f"The list {self.file} cannot be used ({error.strerror}). "
            "Free some space and give this user access to the instance folder."
        )


def _line(name: str, state: State) -> str:
    return json.dumps([name, *state]) + "\n"
