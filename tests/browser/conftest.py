"""A real browser on a real server: Debian's Chromium against waitress with the tiny engine."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import waitress
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright
from web_client import close, cracked, encoded, tiny_app

from flawsight.web.serve import listen

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a green test picture instead of a camera
    "--use-fake-ui-for-media-stream",
]

expect.set_options(timeout=15_000)  # a busy computer is no error


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.fail("No Chromium was found. Install it: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield running
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server; each file begins with an empty history."""
    yield from served(tiny_app(tmp_path_factory.mktemp("site"), max_upload_mb=1))


def served(app: Flask) -> Iterator[str]:
    """The address of ``app`` while it runs."""
    listener = listen("127.0.0.1", 0)
    server = waitress.create_server(app, sockets=[listener], threads=8)
    ending = threading.Event()
    thread = threading.Thread(target=_until, args=[ending, server])
    thread.start()
    yield f"http://localhost:{listener.getsockname()[1]}"
    ending.set()
    thread.join(10)
    server.task_dispatcher.shutdown()
    listener.close()
    close(app)


def _until(ending: threading.Event, server: waitress.server.TcpWSGIServer) -> None:
    """Serve; close in the same thread, so that nothing closed is ever waited for."""
    while not ending.is_set():
        server.asyncore.loop(timeout=0.05, map=server._map, count=1)
    for channel in list(server._map.values()):
        channel.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A fresh desktop window; a complaint in its console (script error, CSP violation) fails the test."""
    yield from watched(browser, site, viewport={"width": 1440, "height": 900})


@pytest.fixture
def phone(browser: Browser, site: str) -> Iterator[Page]:
    yield from watched(browser, site, viewport={"width": 390, "height": 844}, has_touch=True)


@pytest.fixture
def scriptless(browser: Browser, site: str) -> Iterator[Page]:
    yield from watched(browser, site, java_script_enabled=False)


def watched(browser: Browser, site: str, **options: object) -> Iterator[Page]:
    context = browser.new_context(base_url=site, **options)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # Chromium also reports every answer of 400 and above; those are what some tests ask for.
    asked_for = re.compile("the server responded with a status of (4|503)")
    assert [text for text in complaints if not asked_for.search(text)] == []


@pytest.fixture
def cracked_file(tmp_path: Path) -> Path:
    path = tmp_path / "tile from line 3.png"
    path.write_bytes(encoded(cracked()))
    return path
