"""Checks that take longer than a request: run in a thread, with progress that every process can see."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import Any

from flawsight.errors import FlawsightError
from flawsight.records.checks import Checks
from flawsight.records.verify import verify
from flawsight.web.fleet import AUTO, Inspect, NoSuchProduct
from flawsight.web.service import Service

TELL_S = 0.7  # between two notes of progress
KEPT = 200  # findings that are kept with a run

log = logging.getLogger(__name__)


def start_verification(it: Service, by: str) -> None:
    """Hold the history against its chain.

    Raises:
        CheckRunning: that is being done already.
    """
    checks = Checks(it.store)
    check_id = checks.begin("records", by)
    told = [monotonic() - TELL_S]

    def tell(phase: str, done: int, total: int) -> None:
        if monotonic() - told[0] >= TELL_S:
            told[0] = monotonic()
            checks.tell(check_id, done, total, {"phase": phase})

    def work() -> None:
        found = verify(it.store, progress=tell)
        result = found.to_dict()
        checks.finish(check_id, found.ok, {**result, "findings": result["findings"][:KEPT]})

    _start(checks, check_id, work)


def start_golden_check(it: Service, by: str) -> None:
    """Inspect the golden parts.

    Raises:
        CheckRunning: that is being done already.
        ModelError: there is no model.
    """
    check_id = it.golden.checks.begin("golden", by, it.fingerprint())
    inspect = golden_inspect(it)
    _start(it.golden.checks, check_id, lambda: it.golden.check(check_id, inspect))


def golden_inspect(it: Service) -> Inspect:
    """How a golden part is inspected: the program chooses among the models on the bench, if it can.

    Raises:
        ModelError: there is no model.
    """
    setup = it.fleet.models.setup()
    try:
        chosen = it.fleet.chosen(setup, AUTO)
    except NoSuchProduct:
        chosen = it.fleet.chosen(setup)
    return lambda data, name, template=None: it.queue.run(lambda: chosen(data, name, template))


def _start(checks: Checks, check_id: int, work: Callable[[], Any]) -> None:
    def run() -> None:
        try:
            work()
        except Exception as error:
            log.exception("A check could not be finished")
            said = str(error) if isinstance(error, FlawsightError) else "See the server's log."
            checks.finish(check_id, None, {"error": said})

    Thread(target=run, name="check", daemon=True).start()
