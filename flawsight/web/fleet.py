"""The models in memory: which one answers, loaded when it is needed, and the one in the shadow."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from flawsight.errors import FlawsightError
from flawsight.inspection.engines import Engine, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.library import InstalledModel, Library
from flawsight.inspection.result import Inspection
from flawsight.inspection.template import Template
from flawsight.inspection.words import template_of
from flawsight.metadata import ModelMetadata
from flawsight.records import Record, Store
from flawsight.records.models import Limits, Models, Setup
from flawsight.records.part_templates import PartTemplates
from flawsight.records.shadows import Shadows
from flawsight.settings import Settings
from flawsight.web.metrics import Metrics

AUTO = "auto"  # instead of a model's key: let the program choose
SHADOWS_WAITING = 16  # inspections that may wait for the shadow; the next goes without
NICENESS = 15  # of the thread in the shadow: it takes what is left of the processor

log = logging.getLogger(__name__)


class Inspect(Protocol):
    """How a picture is inspected; beside a template, where the model that answers can compare."""

    def __call__(self, data: bytes, name: str, template: Template | None = None) -> Inspection: ...


class NoSuchProduct(FlawsightError):
    """The model that was asked for is not on the bench, or none can be chosen."""

    code = "no_such_product"
    status = 400


@dataclass
class _Slot:
    """A model in memory, or about to be."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    inspector: Inspector | None = None
    limits: Limits | None = None


class Fleet:
    """Models by key. Safe to share between threads; every process has its own.

    What answers is read from the store at each inspection, so all processes change over together. An
    inspection in hand keeps the model it began with.

    Args:
        given: the shipped model's inspector, instead of loading ``settings.model``.
    """

    def __init__(
        self, settings: Settings, store: Store, metrics: Metrics, given: Inspector | None = None
    ) -> None:
        self.library = Library(
            settings.model,
            settings.models or settings.model.with_name("models"),
            given.engine if given else None,
        )
        self.models = Models(store)
        self.shadows = Shadows(store)
        self.templates = PartTemplates(store)
        self._settings = settings
        self._metrics = metrics
        self._slots: OrderedDict[tuple[str, int, bool], _Slot] = OrderedDict()
        self._lock = threading.Lock()
        self._given = given
        self._in_shadow = threading.BoundedSemaphore(SHADOWS_WAITING)
        self._shadow_thread = ThreadPoolExecutor(1, "shadow", initializer=_step_back)
        if self.library.folder.is_dir():
            for model in self.library.models():
                _ = model.metadata  # makes the names of its classes known to the history

    @property
    def default(self) -> str:
        """Key of the shipped model, which answers as long as nobody said otherwise."""
        return self.library.shipped.stem

    def bench(self, setup: Setup | None = None) -> list[InstalledModel]:
        """The active models that are still installed; the shipped one if there are none."""
        setup = setup or self.models.setup()
        if setup.bench in ((), (self.default,)):  # the usual case needs no look into the folder
            return [self.library.shipped_model()]
        installed = {model.key: model for model in self.library.models()}
        there = [installed[key] for key in setup.bench if key in installed]
        return there or [self.library.shipped_model()]

    def metadata(self) -> list[ModelMetadata]:
        """What the active models say about themselves, those that can be used."""
        bench = self.bench()
        if len(bench) == 1:  # loaded anyway
            return [self.inspector(bench[0]).metadata]
        return [model.metadata for model in bench if model.metadata]

    def inspectors(self, setup: Setup | None = None) -> list[Inspector]:
        """Those of all active models.

        Raises:
            ModelError: one is missing or cannot be used.
        """
        setup = setup or self.models.setup()
        return [self.inspector(model, setup) for model in self.bench(setup)]

    def inspector(
        self, model: InstalledModel | None = None, setup: Setup | None = None, aside: bool = False
    ) -> Inspector:
        """The inspector of ``model``, by default the first on the bench, with the thresholds in force.

        One that works ``aside`` has a network of its own, on one thread.

        Raises:
            ModelError: it is missing or cannot be used; the message says what to do.
        """
        setup = setup or self.models.setup()
        model = model or self.bench(setup)[0]
        slot = self._slot(model, aside)
        with slot.lock:
            if slot.engine is None:
                slot.engine = self._load(model, aside)
            limits = setup.limits.get(model.key)
            if limits and limits.sha256 != slot.engine.sha256:  # set for an earlier file of that name
                limits = None
            if slot.inspector is None or slot.limits != limits:
                slot.inspector, slot.limits = self._inspector(slot.engine, limits), limits
            return slot.inspector

    def inspector_of(self, record: Record) -> Inspector:
        """That of the model which made ``record``, if it is still installed; else the first on the bench.

        Raises:
            ModelError: it cannot be used.
        """
        setup, wanted = self.models.setup(), record.data["model"]["sha256"]
        first = self.inspector(None, setup)
        if first.engine.sha256 == wanted:
            return first
        found = next((model for model in self.library.models() if model.sha256 == wanted), None)
        return self.inspector(found, setup) if found else first

    def chosen(self, setup: Setup, product: str = "") -> Inspect:
        """How to inspect with the model on the bench called ``product``, with the first, or ``AUTO``.

        Raises:
            NoSuchProduct: it is not on the bench.
            ModelError: it cannot be used.
        """
        bench = self.bench(setup)
        if product == AUTO and len(bench) > 1:
            return self._most_familiar(bench, setup)
        by_key = {model.key: model for model in bench}
        if product not in ("", AUTO) and product not in by_key:
            raise NoSuchProduct(
                "There is no product %(product)s on the bench. Choose one of: %(products)s.",
                product=repr(product),
                products=", ".join(by_key),
            )
        model = by_key.get(product, bench[0])
        return self._remarking(model, setup)

    def with_model(self, model: InstalledModel) -> Inspect:
        """How to inspect with any installed model."""
        setup = self.models.setup()
        return self._remarking(model, setup)

    def template_for(self, context: Mapping[str, str], setup: Setup, product: str = "") -> Template | None:
        """What a part of this ``context`` is held against by the models that ``chosen`` asks.

        Raises:
            LostTemplate: its picture is gone or was altered.
            ModelError: a model cannot be used.
        """
        bench = self.bench(setup)
        asked = [one for one in bench if product in (AUTO, one.key)] or bench[:1]
        if not any(self.inspector(model, setup).compares for model in asked):
            return None
        return self.templates.template_for(context)

    def template_of(self, record: Record) -> Template | None:
        """What the part of ``record`` was held against.

        Raises:
            LostTemplate: its picture is gone or was altered.
        """
        used = template_of(record.data)
        return self.templates.template(used["sha256"], used["name"]) if used else None

    def follow(self, record: Record, setup: Setup) -> None:
        """Let the model in the shadow answer, too, some time later. Never waits and never fails.

        With too many waiting this one is dropped, and counted.
        """
        if not setup.shadow:
            return
        if not self._in_shadow.acquire(blocking=False):
            self._metrics.shadow.labels("dropped").inc()
            return
        self._shadow_thread.submit(self._answer_in_shadow, setup, record)

    def close(self) -> None:
        """Wait for the shadow to finish what it has."""
        self._shadow_thread.shutdown()

    def _answer_in_shadow(self, setup: Setup, record: Record) -> None:
        outcome = "failed"
        try:
            model = self.library.get(setup.shadow)
            data = record.received()
            inspector = self.inspector(model, setup, aside=True)
            template = self.template_of(record) if inspector.compares else None
            said = inspector.inspect_bytes(data, record.data["image"]["name"], template=template)
            outcome = "agreed" if self.shadows.add(record, model.key, said) else "disagreed"
        except Exception:  # whatever happens here must not be felt anywhere else
            log.exception("The shadow %s could not answer inspection %s", setup.shadow, record.number)
        finally:
            self._metrics.shadow.labels(outcome).inc()
            self._in_shadow.release()

    def _most_familiar(self, bench: list[InstalledModel], setup: Setup) -> Inspect:
        candidates = [
            self._remarking(model, setup) for model in bench if self.inspector(model, setup).known_parts
        ]
        if not candidates:
            raise NoSuchProduct(
                "None of the models on the bench can tell whether it knows a part, so the program cannot "
                "choose. Say which product it is."
            )

        def inspect(data: bytes, name: str, template: Template | None = None) -> Inspection:
            answers = [inspect_with(data, name, template) for inspect_with in candidates]
            best = min(answers, key=_strangeness)
            asked = [
                {"model": f"{one.model.name} {one.model.version}", "strangeness": round(_strangeness(one), 3)}
                for one in answers
            ]
            return replace(best, method={**best.method, "chosen_among": asked})

        return inspect

    def _remarking(self, model: InstalledModel, setup: Setup) -> Inspect:
        """Inspections of ``model`` that say who moved its thresholds."""
        inspector = self.inspector(model, setup)
        limits = setup.limits.get(model.key)

        def inspect(data: bytes, name: str, template: Template | None = None) -> Inspection:
            beside = template if inspector.compares else None
            inspection = inspector.inspect_bytes(data, name, template=beside)
            if limits is None or limits.sha256 != inspector.engine.sha256:
                return inspection
            return replace(inspection, method={**inspection.method, "thresholds": limits.remark})

        return inspect

    def _inspector(self, engine: Engine, limits: Limits | None) -> Inspector:
        decision = engine.metadata.decision
        if limits:
            decision = replace(decision, accept_below=limits.accept_below, reject_from=limits.reject_from)
        settings = self._settings
        max_bytes, max_pixels = int(settings.max_upload_mb * 2**20), settings.max_pixels
        if self._given and engine is self._given.engine:
            max_bytes, max_pixels = self._given.max_bytes, self._given.max_pixels
            decision = decision if limits else self._given.metadata.decision
        return Inspector(engine, decision, max_bytes=max_bytes, max_pixels=max_pixels)

    def _load(self, model: InstalledModel, aside: bool) -> Engine:
        if model.shipped and self._given:
            return self._given.engine
        return load_engine(model.path, threads=1 if aside else self._settings.threads)

    def _slot(self, model: InstalledModel, aside: bool) -> _Slot:
        """The place of this file; the one not used for longest gives up its own."""
        # A shipped model that was loaded once stays as it is until the program is started again.
        name = (model.key, 0 if model.shipped else model.changed, aside)
        with self._lock:
            slot = self._slots.setdefault(name, _Slot())
            self._slots.move_to_end(name)
            while len(self._slots) > self._settings.loaded_models:
                self._slots.popitem(last=False)
            return slot


def _strangeness(inspection: Inspection) -> float:
    """Distance from known parts over its limit: up to 1 the model knows the part."""
    method: dict[str, Any] = inspection.method
    return float(method["distance"]) / max(1e-9, float(method["distance_limit"]))


def _step_back() -> None:
    with suppress(AttributeError, OSError):  # where the system has no such thing for one thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
