"""``GET /metrics``: what Prometheus collects. One set of counters an app, so that apps do not mix."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the library's own variable: a folder where several workers add up


class Metrics:
    """The counters of one app. Names and labels are the ones to ask Prometheus for."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter(
            "flawsight_requests", "Requests answered.", ["endpoint", "status"], registry=own
        )
        self.inspections = Counter(
            "flawsight_inspections", "Inspections filed, by verdict.", ["verdict"], registry=own
        )
        self.rejected = Counter(
            "flawsight_rejected", "Inspections turned away because the queue was full.", registry=own
        )
        self.shadow = Counter(
            "flawsight_shadow",
            "Inspections that the model in the shadow answered (agreed, disagreed), could not (failed) or "
            "was too busy for (dropped).",
            ["outcome"],
            registry=own,
        )
        self.inside = Gauge(
            "flawsight_inspections_in_hand",
            "Inspections accepted and not yet answered: those at work and those that wait.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self.seconds = Histogram(
            "flawsight_step_seconds",
            "Seconds of each step of an inspection.",
            ["step"],
            buckets=SECONDS,
            registry=own,
        )
        ProcessCollector(registry=own)

    def filed(self, verdict: str, timing_ms: Mapping[str, float]) -> None:
        """Count a filed inspection and the time its steps took."""
        self.inspections.labels(verdict).inc()
        for step, milliseconds in timing_ms.items():
            self.seconds.labels(step).observe(milliseconds / 1000)

    def answered(self, endpoint: str | None, status: int) -> None:
        """Count a request. Addresses that lead nowhere share one label, or anybody could make up more."""
        self.requests.labels(endpoint or "none", str(status)).inc()

    def page(self) -> Response:
        """The text format. With several workers, the sum over all of them."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
