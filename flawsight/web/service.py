"""What every view calls: one place that inspects, draws, files and finds again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from time import perf_counter
from typing import cast

from flask import current_app

from flawsight.errors import ModelError, RecordError
from flawsight.inspection.engines import cores
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import start_pictures
from flawsight.inspection.result import Inspection
from flawsight.inspection.template import Template
from flawsight.records import Record, Store
from flawsight.records.golden import GoldenParts, Schedule, fingerprint
from flawsight.records.models import Setup
from flawsight.settings import Settings
from flawsight.web.fleet import Fleet, Inspect
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
        self.metrics = Metrics()
        self.fleet = Fleet(settings, self.store, self.metrics, inspector)
        self.golden = GoldenParts(self.store, Schedule.parse(settings.golden))
        self.queue = Queue(cores(), WAITING)

    def inspector(self) -> Inspector:
        """The inspector of the active model, the first of them if several are.

        Raises:
            ModelError: the model file is missing or cannot be used; the message says what to do.
        """
        return self.fleet.inspector()

    def model_problem(self) -> str | None:
        """Why nothing can be inspected now; ``None`` if all is well."""
        try:
            self.inspector()
        except (ModelError, RecordError) as error:
            return error.said()
        return None

    def problem(self) -> str | None:
        """Why nothing can be inspected and filed now; ``None`` if all is well."""
        if not self.store.healthy():
            return "The instance folder or its database cannot be used."
        if problem := self.model_problem():
            return problem
        for folder in (
            self.settings.instance,
            tempfile.gettempdir(),
        ):  # uploads lie in the latter for a while
            try:
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b"ready")
            except OSError as error:
                return f"The folder {folder} cannot be written to ({error.strerror}). Free some space there."
        return None

    def inspect(
        self, data: bytes, name: str, context: Mapping[str, str] | None = None, product: str = ""
    ) -> Record:
        """Inspect an image file's bytes and file the answer with its pictures.

        A part whose number has a template is held against it, where the model can do that.

        Args:
            name: what the sender calls the file; it is stored and shown, never opened.
            context: which part it is, see ``records.record.CONTEXT``.
            product: key of the model on the bench to ask, or ``fleet.AUTO``; empty for the first.

        Raises:
            ImageError: the bytes are no image that can be inspected.
            ModelError: there is no model.
            NoSuchProduct: ``product`` is not on the bench.
            Locked: the golden parts have not passed.
            LostTemplate: the picture of the part's template is gone or was altered.
            Busy: too many are waiting.
            RecordError: it could not be stored.
        """
        setup = self.fleet.models.setup()
        inspect = self.fleet.chosen(setup, product)
        checked = self._require_golden_parts(setup)
        template = self.fleet.template_for(context or {}, setup, product)
        try:
            with self.queue.place(), self.metrics.inside.track_inprogress():
                inspection, pictures = self.queue.run(lambda: _inspect(inspect, data, name, template))
                if checked:
                    inspection = replace(inspection, method={**inspection.method, "last_check": checked})
                start = perf_counter()
                record = self.store.add(inspection, data, pictures, context)
        except Busy:
            self.metrics.rejected.inc()
            raise
        file_ms = 1000 * (perf_counter() - start)
        self.metrics.filed(inspection.verdict, inspection.timing_ms | {"file": file_ms})
        self.fleet.follow(record, setup)
        return record

    def fingerprint(self, setup: Setup | None = None) -> str:
        """Of the models on the bench and their thresholds: another one needs its own check."""
        setup = setup or self.fleet.models.setup()
        inspectors = self.fleet.inspectors(setup)
        return fingerprint([(one.engine.sha256, one.metadata.decision) for one in inspectors])

    def _require_golden_parts(self, setup: Setup) -> str:
        """What the report says of the last check of what inspects now; empty if there was none.

        Raises:
            Locked: the golden parts have not passed.
        """
        return self.golden.require(self.fingerprint(setup))


def _inspect(
    inspect: Inspect, data: bytes, name: str, template: Template | None
) -> tuple[Inspection, dict[str, Future[bytes]]]:
    """The answer, and its pictures by name, which are being drawn."""
    inspection = inspect(data, name, template)
    return inspection, start_pictures(inspection, data)


def service() -> Service:
    """The service of the app that answers this request."""
    return cast(Service, current_app.extensions["flawsight"])
