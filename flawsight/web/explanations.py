"""Why, for any class: by the model's own map, and by the methods of the grad-cam package.

The own map costs one pass of the network that is loaded anyway. The other methods need torch, which must
stay out of a server: a short-lived process of its own computes all of them at once.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from time import perf_counter
from typing import Any

from flask import Blueprint, Response, jsonify, request

from flawsight.errors import ModelError, NotFound
from flawsight.i18n import gettext as _
from flawsight.i18n import language, percent
from flawsight.imaging import decode, sha256
from flawsight.inspection.engines import network_of
from flawsight.inspection.explain import CLASS_MAP, GRAD_CAM_METHODS, TITLES
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import encode_layer
from flawsight.inspection.words import template_of
from flawsight.records import Record
from flawsight.settings import PROJECT_ROOT, Settings
from flawsight.taxonomy import describe
from flawsight.web.queue import Queue
from flawsight.web.service import service

TORCH_MODEL = ".pth"
NEEDED = ("torch", "pytorch_grad_cam", "efficientnet_pytorch")
TIME_LIMIT_S = 150  # Score-CAM, the last, runs the network many times; what is done by then is shown
OTHERS = Queue(1, 2)  # one process at a time; each takes seconds and a gigabyte

log = logging.getLogger(__name__)
bp = Blueprint("explanations", __name__, url_prefix="/api/v1/inspections")


@bp.get("/<inspection_id>/explanations/<class_id>")
def own(inspection_id: str, class_id: str) -> Response:
    """The heat map of one class, by the model that inspects."""
    record, inspector = _record(inspection_id, class_id)

    def explain() -> list[dict[str, Any]]:
        start = perf_counter()
        pixels = decode(record.received(), max_bytes=inspector.max_bytes, max_pixels=inspector.max_pixels)
        heatmap = inspector.explain(pixels, class_id)
        took_ms = 1000 * (perf_counter() - start)
        return [_map({**heatmap.to_dict(), "took_ms": round(took_ms, 1)}, encode_layer(heatmap))]

    return _answer(record, inspector, class_id, (), service().queue, explain)


@bp.get("/<inspection_id>/explanations/<class_id>/grad-cam")
def others(inspection_id: str, class_id: str) -> Response:
    """The heat maps of one class by Grad-CAM, Grad-CAM++, LayerCAM, Eigen-CAM and Score-CAM."""
    record, inspector = _record(inspection_id, class_id)
    if problem := others_problem():
        raise problem
    settings = service().settings
    return _answer(
        record, inspector, class_id, tuple(GRAD_CAM_METHODS), OTHERS,
        lambda: _in_child(settings, record, inspector, class_id),
    )  # fmt: skip


def others_problem() -> ModelError | None:
    """Why the other methods cannot be had here; ``None`` if they can."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return ModelError(
            "The other methods need packages that are not installed: %(missing)s.",
            missing=", ".join(missing),
        )
    model = _torch_model(service().settings)
    if not model.is_file():
        return ModelError(
            "The other methods need the model as PyTorch wrote it, and there is no %(name)s beside the "
            "model in use. Copy it there.",
            name=model.name,
        )
    return None


def _torch_model(settings: Settings) -> Path:
    return settings.model.with_suffix(TORCH_MODEL)


def _record(inspection_id: str, class_id: str) -> tuple[Record, Inspector]:
    it = service()
    record = it.store.get(inspection_id)
    inspector = it.fleet.inspector_of(record)
    if class_id not in inspector.metadata.classes:
        raise NotFound("The model in use knows no class %(name)s.", name=class_id)
    return record, inspector


def _answer(
    record: Record,
    inspector: Inspector,
    class_id: str,
    wanted: Collection[str],
    queue: Queue,
    explain: Callable[[], list[dict[str, Any]]],
) -> Response:
    """What ``explain`` gives when its turn in ``queue`` has come, unless the asker has it already.

    Of the methods ``wanted``, those that were not finished are named.
    """
    model = inspector.model
    tag = sha256("/".join((record.id, class_id, *wanted, model.sha256, language())).encode())
    response = Response(status=304)
    if not request.if_none_match.contains(tag):
        with queue.place():
            maps = queue.run(explain)
        notes = []
        if model.sha256 != record.data["model"]["sha256"]:
            notes.append(_("Computed with another model than the one that inspected."))
        if template_of(record.data):
            notes.append(_("Of the picture alone: what the template shows as well is not left out."))
        if missing := [TITLES[method] for method in wanted if method not in (one["method"] for one in maps)]:
            notes.append(
                _(
                    "Stopped after %(seconds)s s, without %(missing)s.",
                    seconds=TIME_LIMIT_S,
                    missing=", ".join(missing),
                )
            )
        response = jsonify(
            {
                "class": class_id,
                "title": describe(class_id).title,
                "probability": record.data["probabilities"].get(class_id),
                "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
                "note": " ".join(notes),
                "maps": [{**one, "said": _said(one, class_id)} for one in maps],
            }
        )
        if missing:  # the next time there may be more
            response.headers["Cache-Control"] = "no-store"
            return response
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _map(facts: dict[str, Any], layer: bytes) -> dict[str, Any]:
    return {**facts, "title": TITLES[facts["method"]], "layer": base64.b64encode(layer).decode("ascii")}


def _said(one: dict[str, Any], class_id: str) -> str:
    """What one map shows, in a sentence or two."""
    x, y = one["peak"]
    values = {"title": describe(class_id).title, "x": x, "y": y}
    if one["peak_score"] <= 0:
        return _("Nothing in the picture speaks for “%(title)s”.", **values)
    if one["method"] == CLASS_MAP:
        score = percent(one["peak_score"])
        return _(
            "Strongest at x %(x)s, y %(y)s: there, the model gives “%(title)s” %(score)s. Colours are "
            "relative to that peak.",
            score=score,
            **values,
        )
    if one["method"] == "eigen-cam":
        return _(
            "Eigen-CAM asks for no class: it shows what the model responds to most, strongest at x %(x)s, "
            "y %(y)s.",
            **values,
        )
    return _("Strongest at x %(x)s, y %(y)s. Colours are relative to that peak.", **values)


def _in_child(
    settings: Settings, record: Record, inspector: Inspector, class_id: str
) -> list[dict[str, Any]]:
    """All other methods, computed by ``python -m flawsight explain``.

    Raises:
        ModelError: it failed, took too long, or the ``.pth`` is not the twin of the model in use.
    """
    model = _torch_model(settings)
    limits = {
        "FLAWSIGHT_MAX_UPLOAD_MB": str(settings.max_upload_mb),
        "FLAWSIGHT_MAX_PIXELS": str(settings.max_pixels),
        "FLAWSIGHT_THREADS": str(settings.threads),
    }
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image")
        image.write_bytes(record.received())
        command = [
            sys.executable, "-m", "flawsight", "explain", str(image), "--class", class_id, "--layers",
            "--out", folder, "--model", str(model.absolute()),
        ]  # fmt: skip
        try:
            output = subprocess.run(
                command, cwd=PROJECT_ROOT, env=os.environ | limits, capture_output=True,
                timeout=TIME_LIMIT_S, check=True,
            ).stdout  # fmt: skip
        except subprocess.TimeoutExpired as error:
            output = error.stdout or b""  # a line for each method that was finished
            if not output:
                raise ModelError(
                    "The other methods took longer than %(seconds)s s and were stopped. Try a smaller "
                    "picture, or when less is going on.",
                    seconds=TIME_LIMIT_S,
                ) from None
        except subprocess.CalledProcessError as error:
            log.error("%s", error.stderr.decode(errors="replace"))
            raise ModelError("The other methods failed. The server's log holds the reason.") from None
        lines = [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
        network = network_of(inspector.engine)
        if any(line["network"] != network for line in lines):
            raise ModelError(
                "%(name)s is of another training run than the model in use. Export the model again.",
                name=model.name,
            )
        keys = ("class", "peak", "peak_score", "method", "took_ms")
        return [_map({key: line[key] for key in keys}, Path(line["file"]).read_bytes()) for line in lines]
