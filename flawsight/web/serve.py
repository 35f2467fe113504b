"""``python app.py`` and ``python -m flawsight serve``: the web application behind waitress."""

from __future__ import annotations

import ctypes
import errno
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import click
import waitress
from flask import Flask

from flawsight.errors import FlawsightError, SettingsError
from flawsight.settings import Settings, load_settings
from flawsight.web.factory import create_app
from flawsight.web.incoming import Channel
from flawsight.web.models import largest_model

SECRETS = {"secret_key", "password", "token"}
THREADS = 8  # for pages and pictures, beside those that inspect or wait for it
CONNECTIONS = 1000  # that may be open; one that is idle or stalled costs no thread
M_ARENA_MAX = -8  # glibc's number of that option: how many heaps the threads share
GRACE_S = 30.0  # for what was accepted before the signal to stop


def setting_flags(command: Callable[..., None]) -> Callable[..., None]:
    """One flag a setting, with the setting's own help. Secrets stay out of the process list."""
    for name, field in reversed(Settings.model_fields.items()):
        if name in SECRETS:
            continue
        flag, help_text = f"--{name.replace('_', '-')}", f"{field.description} [{field.default}]"
        if isinstance(field.default, bool):
            command = click.option(flag, name, is_flag=True, default=None, help=field.description)(command)
        else:
            command = click.option(flag, name, metavar="VALUE", help=help_text)(command)
    return command


@click.command()
@setting_flags
def serve(**flags: Any) -> None:
    """Inspect parts in the browser.

    Every flag may also be given as an environment variable, for example FLAWSIGHT_PORT=8000.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for library in ("alembic", "waitress"):
        logging.getLogger(library).setLevel(logging.WARNING)
    _ask_glibc("mallopt", M_ARENA_MAX, 2)  # before there are threads: each would get a heap of its own
    try:
        settings = load_settings(**flags)
        app = create_app(settings)
        listener = listen(settings.host, settings.port)
    except FlawsightError as error:
        raise click.ClickException(str(error)) from None
    if problem := app.extensions["flawsight"].model_problem():
        click.secho(f"Nothing can be inspected yet: {problem}", fg="yellow", err=True)
        click.secho("The app starts all the same and finds a new model by itself.", err=True)
    click.echo(f"Flawsight is ready: {address(settings.host, listener)}  (Ctrl+C stops it)")
    run(app, listener)


def listen(host: str, port: int) -> socket.socket:
    """A socket that holds its port; 0 takes a free one.

    Raises:
        SettingsError: the address cannot be had; the message offers another.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {port} of {host} is already in use. Stop the program that uses it, "
                f"or choose another port: python app.py --port {port % 65535 + 1}"
            ) from None
        raise SettingsError(
            f"Cannot listen on {host}, port {port} ({error.strerror or error}). "
            "Choose another address with --host and --port."
        ) from None


def address(host: str, listener: socket.socket) -> str:
    """What to type into the browser."""
    name = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"


def run(app: Flask, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl+C; then finish what was accepted and return.

    A second signal ends it at once.
    """
    server = waitress.create_server(
        app,
        sockets=[listener],
        # Whoever waits in the queue holds a thread; pages and pictures are answered all the same.
        threads=app.extensions["flawsight"].queue.places + THREADS,
        connection_limit=CONNECTIONS,
        asyncore_use_poll=True,
        recv_bytes=2**18,
        # Far above the app's own limit, so that a large upload gets the app's friendly answer.
        max_request_body_size=max(
            4 * app.config["MAX_CONTENT_LENGTH"], 2 * largest_model(app.extensions["flawsight"])
        ),
        ident=None,
        clear_untrusted_proxy_headers=False,  # read only if the settings name a proxy
    )
    server.channel_class = Channel
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()
        server.pull_trigger()  # wakes the loop

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gc.freeze()  # what is loaded by now stays; to look through it takes a tenth of a second, and all wait
    _ask_glibc("malloc_trim", 0)  # loading the model left tens of megabytes of garbage
    while not stopping.is_set():
        _turn(server, 30.0)
    _drain(server)


def _ask_glibc(function: str, *numbers: int) -> None:
    """Call one of glibc's functions about memory, where glibc is the C library."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            getattr(ctypes.CDLL(None), function)(*numbers)


def _turn(server: Any, timeout_s: float) -> None:
    """Read, write, accept what there is, or wait for it."""
    server.asyncore.loop(timeout=timeout_s, use_poll=True, map=server._map, count=1)


def _drain(server: Any) -> None:
    """Take no new connection, answer what has arrived, let go of the rest."""
    _turn(server, 0.0)  # what stands at the door is let in
    server.asyncore.dispatcher.close(server)  # the listener alone; the loop still needs its other parts
    _turn(server, 0.0)
    deadline = monotonic() + GRACE_S
    while server.active_channels and monotonic() < deadline:
        for channel in list(server.active_channels.values()):
            if not channel.requests and not channel.total_outbufs_len:
                channel.will_close = True  # idle, or still sending: nothing was promised yet
        _turn(server, 0.1)
    server.task_dispatcher.shutdown()
    server.trigger.close()


def wsgi() -> Flask:
    """The application for another server, with settings from the environment; see ``gunicorn.conf.py``."""
    return create_app(load_settings())
