"""For those who watch over the server: is it alive, is it ready, what has it done?"""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, jsonify, request

from flawsight.web.service import service

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Alive: the process answers. Whoever restarts it looks here."""
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz() -> Response:
    """Ready: a model is loaded, the database answers, the disk can be written to."""
    it = service()
    problem = it.problem()
    model = None if it.model_problem() else asdict(it.inspector().model)
    response = jsonify(status="unavailable" if problem else "ok", model=model, problem=problem)
    response.status_code = 503 if problem else 200
    return response


@bp.get("/metrics")
def metrics() -> Response:
    """Counters for Prometheus."""
    return service().metrics.page()


@bp.after_app_request
def count(response: Response) -> Response:
    service().metrics.answered(request.endpoint, response.status_code)
    return response
