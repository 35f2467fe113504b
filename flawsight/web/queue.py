"""A bounded queue: a few work, some wait, the rest are told at once to come back, and when."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from flawsight.errors import FlawsightError
from flawsight.i18n import marked

Result = TypeVar("Result")


class Busy(FlawsightError):
    """Too many inspections are waiting; there is room again in about ``retry_after`` seconds."""

    code = "busy"
    status = 503

    def __init__(self, inside: int, retry_after: int) -> None:
        message = marked(
            "%(inside)s inspections are in hand, and no more are taken on. Try again in %(seconds)s s."
        )
        super().__init__(message, inside=inside, seconds=retry_after)
        self.retry_after = retry_after


class Queue:
    """Room for ``at_once`` callers to work and ``waiting`` to wait. Nobody waits longer than that takes.

    The time one turn takes is learned from the turns there were.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self.at_once, self.waiting = at_once, waiting
        # The same few threads do all the work: each that ever runs a network keeps scratch memory for it.
        self._workers = ThreadPoolExecutor(at_once, thread_name_prefix="inspect")
        self._lock = threading.Lock()
        self._inside = 0
        self._turn_s = 0.1

    @property
    def places(self) -> int:
        """How many may be inside."""
        return self.at_once + self.waiting

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places from acceptance to answer.

        Raises:
            Busy: all are taken.
        """
        with self._lock:
            if self._inside >= self.places:
                raise Busy(self._inside, self._until_room())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def run(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives or raises, when its turn has come."""
        return self._workers.submit(self._timed, work).result()

    def _timed(self, work: Callable[[], Result]) -> Result:
        start = perf_counter()
        try:
            return work()
        finally:
            with self._lock:
                self._turn_s += 0.1 * (perf_counter() - start - self._turn_s)

    def _until_room(self) -> int:
        """Seconds, at least 1, until half of those waiting now have had their turn."""
        return max(1, math.ceil(self.waiting / 2 * self._turn_s / self.at_once))
