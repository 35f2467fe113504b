"""``python -m flawsight watch``: inspects what arrives in a folder and files it in the history."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic
from typing import Any, TextIO

import click
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from flawsight import imaging
from flawsight.data.samples import IMAGE_SUFFIXES
from flawsight.errors import FlawsightError, ImageError, NotAnImage, SettingsError
from flawsight.inspection.result import SCHEMA
from flawsight.records import Record
from flawsight.records.part_templates import LostTemplate
from flawsight.records.record import CONTEXT
from flawsight.records.watched import State, Watched
from flawsight.settings import load_settings
from flawsight.web.bench import clean
from flawsight.web.service import Service

# Option, and name in --subfolders: what it is called in the history.
FIELDS = {
    "part": "part_number",
    "revision": "part_revision",
    "lot": "lot",
    "serial": "serial",
    "site": "site",
    "line": "line",
    "station": "station",
    "inspector": "inspector",
    "type": "inspection_type",
}
ARRIVALS: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileModifiedEvent, FileMovedEvent,
]  # fmt: skip
SWEEP_S = 60.0  # the whole folder is looked through that often: the system may lose a message
DOUBT = 5  # settling times that a file which cannot be read gets to become whole
RETRY_S = 10.0  # after an error that is not the picture's, such as a full disk


def field_options(command: Callable[..., None]) -> Callable[..., None]:
    """One option a field of the context."""
    for name, key in reversed(FIELDS.items()):
        text = f"{CONTEXT[key]} of every picture."
        command = click.option(f"--{name}", key, metavar="TEXT", help=text)(command)
    return command


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True))
@field_options
@click.option(
    "--subfolders", metavar="FIELDS", default="",
    help="What the names of the subfolders say, e.g. part/lot for DIR/4711/L-8/photo.png.",
)  # fmt: skip
@click.option(
    "--move-to", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Move each picture to DIR/done or DIR/failed afterwards. [default: it stays]",
)  # fmt: skip
@click.option(
    "--settle", type=click.FloatRange(min=0.1), default=1.0, show_default=True, metavar="SECONDS",
    help="A picture is inspected when it has not changed for so long.",
)  # fmt: skip
@click.option(
    "--poll", type=click.FloatRange(min=0.1), metavar="SECONDS",
    help="Look into DIR that often. Network folders need it: their changes are not announced.",
)  # fmt: skip
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Model file, .onnx or .pth. [default: FLAWSIGHT_MODEL, or the model that comes with the program]",
)  # fmt: skip
@click.option(
    "--instance", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder of the history, as FLAWSIGHT_INSTANCE.",
)  # fmt: skip
def watch(
    folder: Path,
    subfolders: str,
    move_to: Path | None,
    settle: float,
    poll: float | None,
    model: Path | None,
    instance: Path | None,
    **context: str | None,
) -> None:
    """Wait for pictures in DIR and below, inspect each, and file it in the history of the web app.

    What lies there already is inspected first. Each picture gives one JSON object on a line of its own, as
    with `inspect`; one that cannot be inspected gives a line with "error", and the rest goes on. What was
    inspected is not inspected again, also after a restart. Hidden files are passed over.

    Ctrl+C or SIGTERM ends it after the picture in hand.
    """
    service = Service(load_settings(model=model, instance=instance))
    try:
        service.inspector()  # a missing model is said now, not at the first picture
        watcher = Watcher(
            folder, service, sys.stdout, clean(context), levels(subfolders), move_to, settle, poll
        )
        with _stopped_by_signals(watcher):
            click.echo(f"Watching {folder}  (Ctrl+C stops it)", err=True)
            watcher.run()
    finally:
        service.store.close()
    total = watcher.counts.total()
    counts = ", ".join(f"{n} {what}" for what, n in watcher.counts.items()) or "nothing came"
    click.echo(f"Stopped. {total} picture{'' if total == 1 else 's'}: {counts}", err=True)


def levels(subfolders: str) -> tuple[str, ...]:
    """``part/lot`` as the fields of the context that the names of the first and second subfolder are.

    Raises:
        SettingsError: a name is no field.
    """
    names = [name.strip() for name in subfolders.split("/") if name.strip()]
    if unknown := [name for name in names if name not in FIELDS]:
        raise SettingsError(
            f"--subfolders knows no {unknown[0]!r}. Join some of these by /: {', '.join(FIELDS)}."
        )
    return tuple(FIELDS[name] for name in names)


@dataclass
class _Waiting:
    """A file that is not known to be whole yet."""

    state: State
    since: float
    doubted: bool = False  # it was whole by its size, but could not be read


class Watcher:
    """Inspects what arrives in ``folder`` until :meth:`stop` is called.

    Args:
        lines: where the JSON lines go.
        context: what is known about every part, see ``records.record.CONTEXT``.
        levels: which fields the names of the subfolders are, outermost first.
        move_to: folder under which pictures are moved to ``done`` or ``failed``.
        settle_s: a file that did not change for so long is whole.
        poll_s: seconds between two looks into the folder, instead of being told by the system.

    Raises:
        RecordError: the list of what is done with cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        service: Service,
        lines: TextIO,
        context: dict[str, str] | None = None,
        levels: tuple[str, ...] = (),
        move_to: Path | None = None,
        settle_s: float = 1.0,
        poll_s: float | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.counts: Counter[str] = Counter()
        self._service, self._lines = service, lines
        self._context, self._levels = context or {}, levels
        # Where pictures are moved to: those inspected, those that could not be.
        self._targets = (move_to.absolute() / "done", move_to.absolute() / "failed") if move_to else ()
        self._settle_s, self._poll_s = settle_s, poll_s
        self._watched = Watched(service.store, self.folder)
        self._waiting: dict[Path, _Waiting] = {}
        self._arrivals: SimpleQueue[Path | None] = SimpleQueue()
        self._stopping = Event()
        self._trouble = ""

    def stop(self) -> None:
        """End :meth:`run` after the picture in hand; may be called from a signal handler."""
        self._stopping.set()
        self._arrivals.put(None)  # wakes it

    def run(self) -> None:
        """Inspect what is there, then what arrives."""
        with self._told():
            self._watched.keep_only(self._sweep())
            swept = monotonic()
            while not self._stopping.is_set():
                self._listen(self._settle_s / 4 if self._waiting else self._poll_s or SWEEP_S)
                if monotonic() - swept >= (self._poll_s or SWEEP_S):
                    self._sweep()
                    swept = monotonic()
                for path in self._whole():
                    if self._stopping.is_set() or not self._take(path):
                        break

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Let the system put what happens in the folder into the queue."""
        if self._poll_s:
            yield
            return
        observer = Observer()
        observer.schedule(_Handler(self._arrivals), str(self.folder), recursive=True, event_filter=ARRIVALS)
        try:
            observer.start()
        except OSError as error:  # Linux has a limit on how many folders may be watched
            raise SettingsError(
                f"The system does not tell what happens in {self.folder} ({error.strerror}). "
                "Look into it every few seconds instead: --poll 5"
            ) from error
        try:
            yield
        finally:
            observer.stop()
            observer.join()

    def _listen(self, seconds: float) -> None:
        """Wait so long for a message, and read all that have come."""
        try:
            path = self._arrivals.get(timeout=seconds)
            while path is not None:
                for image in self._images(path) if path.is_dir() else [path]:
                    self._note(image)
                path = self._arrivals.get_nowait()
        except Empty:
            return

    def _sweep(self) -> list[Path]:
        """Look through the whole folder; the pictures in it."""
        if not self.folder.is_dir():
            self._complain(f"{self.folder} cannot be read at the moment.")
            return []
        images = self._images(self.folder)
        for image in images:
            self._note(image)
        return images

    def _images(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.rglob("*") if self._is_meant(path))

    def _is_meant(self, path: Path) -> bool:
        """Whether ``path`` is called like a picture and is not one of those that were moved away."""
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_relative_to(self.folder):
            return False
        hidden = any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        return not hidden and not any(path.is_relative_to(target) for target in self._targets)

    def _note(self, path: Path) -> None:
        """Wait for ``path`` to be whole, unless it is done with or no picture."""
        state = State.of(path) if self._is_meant(path) else None
        if state is None or self._watched.knows(path, state):
            return
        known = self._waiting.get(path)
        if known is None or known.state != state:
            self._waiting[path] = _Waiting(state, monotonic())

    def _whole(self) -> list[Path]:
        """The files that have not changed for long enough, the longest first."""
        for path in list(self._waiting):
            if State.of(path) is None:
                del self._waiting[path]  # taken away again
            else:
                self._note(path)
        now = monotonic()
        due = {
            path: it.since
            for path, it in self._waiting.items()
            if now - it.since >= self._settle_s * (DOUBT if it.doubted else 1)
        }
        return sorted(due, key=lambda path: (due[path], path))

    def _take(self, path: Path) -> bool:
        """Inspect ``path`` and say so; false if the fault is elsewhere and all must wait."""
        it = self._waiting[path]
        try:
            line, what = self._inspect(path)
        except ImageError as error:
            if State.of(path) != it.state:
                return True  # it goes on changing, so it was not whole
            if isinstance(error, NotAnImage) and not it.doubted:
                it.doubted = True
                return True
            line, what = _failed(path, error.code, str(error)), "failed"
        except LostTemplate as error:  # the fault of this part alone; the others go on
            self._complain(str(error))
            it.since = monotonic() + RETRY_S
            return True
        except FlawsightError as error:
            self._complain(str(error))
            self._listen(RETRY_S)
            return False
        except Exception as error:  # whatever one file does, the others get their turn
            line, what = _failed(path, "error", f"{type(error).__name__}: {error}"), "failed"
        del self._waiting[path]
        self._trouble = ""
        self._watched.done(path, it.state)
        self.counts[what] += 1
        self._lines.write(json.dumps(line, allow_nan=False) + "\n")
        self._lines.flush()
        if self._targets:
            self._move(path, self._targets[what == "failed"])
        return True

    def _inspect(self, path: Path) -> tuple[dict[str, Any], str]:
        """The JSON line of ``path``, and the word it is counted under."""
        data = imaging.read_bytes(path, max_bytes=self._service.max_bytes)
        record = self._watched.filed(imaging.sha256(data))
        if record:
            return {**_line(record, path), "repeated": True}, "repeated"
        # A name that the system cannot spell is kept as far as it can be shown.
        name = os.fsencode(path.name).decode("utf-8", "replace")
        record = self._service.inspect(data, name, self._context_of(path))
        return _line(record, path), record.data["verdict"]

    def _context_of(self, path: Path) -> dict[str, str]:
        folders = path.relative_to(self.folder).parts[:-1]
        return {**self._context, **clean(dict(zip(self._levels, folders, strict=False)))}

    def _move(self, path: Path, target: Path) -> None:
        """Move ``path`` under ``target``, in the subfolder it has; another of that name stays."""
        wanted = target / path.relative_to(self.folder)
        free, number = wanted, 1
        while free.exists():
            number += 1
            free = wanted.with_stem(f"{wanted.stem}~{number}")
        try:
            free.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, free)
        except OSError as error:
            self._complain(f"{path} could not be moved to {free.parent} ({error.strerror}); it stays.")

    def _complain(self, trouble: str) -> None:
        """Say what is wrong, once as long as it lasts."""
        if trouble != self._trouble:
            self._trouble = trouble
            click.echo(f"Error: {trouble}", err=True)


class _Handler(FileSystemEventHandler):
    """Puts the path of whatever happened into a queue."""

    def __init__(self, arrivals: SimpleQueue[Path | None]) -> None:
        self._arrivals = arrivals

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = event.dest_path or event.src_path
        self._arrivals.put(Path(path.decode() if isinstance(path, bytes) else path))


def _line(record: Record, path: Path) -> dict[str, Any]:
    image = {**record.data["image"], "path": str(path)}
    filed = {"id": record.id, "number": record.number, "created_at": record.created_at.isoformat()}
    return {**record.data, "image": image, **filed}


def _failed(path: Path, code: str, message: str) -> dict[str, Any]:
    image = {"name": path.name, "path": str(path)}
    return {"schema": SCHEMA, "image": image, "error": {"code": code, "message": message}}


@contextmanager
def _stopped_by_signals(watcher: Watcher) -> Iterator[None]:
    """The first signal lets the picture in hand be finished, the second ends it at once."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        watcher.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
