"""What every view calls: one place that inspects, draws, files and finds again."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from time import perf_counter
from typing import cast

from flask import current_app

from flawsight.errors import ModelError
from flawsight.inspection.engines import cores, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import encode_pictures
from flawsight.inspection.result import Inspection
from flawsight.records import Record, Store
from flawsight.settings import Settings
from flawsight.web.metrics import Metrics
from flawsight.web.queue import Busy, Queue

WAITING = 32  # inspections that may wait for their turn; the next is told to come back later


class Service:
    """Bytes in, filed inspection out. Safe to share between threads.

    Args:
        inspector: given by tests and embedders; by default ``settings.model`` is loaded, and looked
            for again at every inspection until it can be, so that training may come after starting.
        store: by default the one in ``settings.instance``.

    Raises:
        RecordError: the instance folder cannot be used.
    """

    def __init__(
        self, settings: Settings, inspector: Inspector | None = None, store: Store | None = None
    ) -> None:
        self.settings = settings
        self.store = store or Store(settings.instance)
        self.max_bytes = int(settings.max_upload_mb * 2**20)
        self._inspector = inspector
        self._loading = threading.Lock()
        self.metrics = Metrics()
        self.queue = Queue(cores(), WAITING)

    def inspector(self) -> Inspector:
        """The loaded inspector.

        Raises:
            ModelError: the model file is missing or cannot be used; the message says what to do.
        """
        with self._loading:
            if self._inspector is None:
                engine = load_engine(self.settings.model, threads=self.settings.threads)
                self._inspector = Inspector(
                    engine, max_bytes=self.max_bytes, max_pixels=self.settings.max_pixels
                )
            return self._inspector

    def model_problem(self) -> str | None:
        """Why nothing can be inspected now; ``None`` if all is well."""
        try:
            self.inspector()
        except ModelError as error:
            return str(error)
        return None

    def problem(self) -> str | None:
        """Why nothing can be inspected and filed now; ``None`` if all is well."""
        if problem := self.model_problem():
            return problem
        if not self.store.healthy():
            return "The instance folder or its database cannot be used."
        try:
            with tempfile.TemporaryFile(dir=self.settings.instance) as file:
                file.write(b"ready")
        except OSError as error:
            return f"The instance folder cannot be written to ({error.strerror}). Free some space there."
        return None

    def inspect(self, data: bytes, name: str, context: Mapping[str, str] | None = None) -> Record:
        """Inspect an image file's bytes and file the answer with its pictures.

        Args:
            name: what the sender calls the file; it is stored and shown, never opened.
            context: which part it is, see ``records.record.CONTEXT``.

        Raises:
            ImageError: the bytes are no image that can be inspected.
            ModelError: there is no model.
            Busy: too many are waiting.
            RecordError: it could not be stored.
        """
        inspector = self.inspector()
        try:
            with self.queue.place(), self.metrics.inside.track_inprogress():
                inspection, pictures, draw_ms = self.queue.run(lambda: _inspect(inspector, data, name))
                start = perf_counter()
                record = self.store.add(inspection, data, pictures, context)
        except Busy:
            self.metrics.rejected.inc()
            raise
        store_ms = 1000 * (perf_counter() - start)
        self.metrics.filed(inspection.verdict, inspection.timing_ms | {"draw": draw_ms, "store": store_ms})
        return record


def _inspect(inspector: Inspector, data: bytes, name: str) -> tuple[Inspection, dict[str, bytes], float]:
    """The answer, its pictures by name, and the milliseconds they took to draw."""
    inspection = inspector.inspect_bytes(data, name)
    start = perf_counter()
    return inspection, encode_pictures(inspection, data), 1000 * (perf_counter() - start)


def service() -> Service:
    """The service of the app that answers this request."""
    return cast(Service, current_app.extensions["flawsight"])
