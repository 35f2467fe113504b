"""Several workers on one machine: ``gunicorn -c gunicorn.conf.py``. Settings come from FLAWSIGHT_*.

Each worker loads the model for itself; all share one instance folder. To let /metrics add the workers
up, name an empty folder in PROMETHEUS_MULTIPROC_DIR.
"""

import os

from flawsight.settings import load_settings

_settings = load_settings()
wsgi_app = "flawsight.web.serve:wsgi()"
bind = f"{_settings.host}:{_settings.port}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = 42  # those who inspect, the 32 who may wait, and some for pages
graceful_timeout = 30  # seconds for what was accepted before the signal to stop
preload_app = False  # the model's threads do not survive a fork


def child_exit(_server: object, worker: object) -> None:
    """A worker that has gone is no longer added up."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[attr-defined, no-untyped-call]
