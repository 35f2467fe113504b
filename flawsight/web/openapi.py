"""The API described for programs (OpenAPI 3.1) and for people (a page), both made from the running views."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, current_app, jsonify, render_template, request
from werkzeug.routing import Rule

from flawsight import __version__
from flawsight.i18n import gettext as _
from flawsight.web.auth import gate
from flawsight.web.problems import MEDIA_TYPE, PROBLEMS, USUAL

if TYPE_CHECKING:
    from flawsight.web.contract import Operation

PREFIX = "/api/v1/"
BESIDE = {"health.healthz", "health.readyz", "health.metrics"}  # described, though not under PREFIX
PAGE = "openapi.page"  # for people, so not described
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
COMPONENTS = "#/components/schemas/{model}"
ALWAYS = (401, 403, 503)  # strangers; other sites and lower roles; a full disk
NAMES = ("reviewer", "by")  # of whoever does it: to be sent where nobody signs in
TOKEN = "Authorization: Bearer TOKEN"
SAVED = {"application/pdf": "answer.pdf", "application/zip": "answer.zip", "image/png": "answer.png"}

bp = Blueprint("openapi", __name__, url_prefix="/api/v1")


@bp.get("/openapi.json")
def as_json() -> Response:
    """This description of the API (OpenAPI 3.1)."""
    return jsonify(_document(*_here()))


@bp.get("/docs")
def page() -> str:
    """The same to be read."""
    app, signs_in = _here()
    document = _document(app, signs_in)
    words = ["curl", *(("-H", TOKEN) if signs_in else ())]
    lines = [
        _line(document, path, method, operation, words)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    tags = [tag["name"] for tag in document["tags"]]
    return render_template(
        "api.html",
        groups=[(tag, [line for line in lines if line.tag == tag]) for tag in tags],
        objects=[
            (name, " ".join(schema.get("description", "").split()), _fields(document, schema))
            for name, schema in document["components"]["schemas"].items()
        ],
        problems=[(code, status, title) for code, (status, title, *_) in PROBLEMS.items()],
    )


def described(app: Flask) -> list[tuple[Rule, str]]:
    """Every address and method of ``app`` that belongs into the description."""
    return [
        (rule, method)
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
        if (rule.rule.startswith(PREFIX) and rule.endpoint != PAGE) or rule.endpoint in BESIDE
        for method in METHODS
        if method in (rule.methods or ())
    ]


def _here() -> tuple[Flask, bool]:
    """The app that answers this request, and whether people sign in to it."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app, gate().everybody() is None


@cache
def _document(app: Flask, signs_in: bool) -> dict[str, Any]:
    return document(app, signs_in)


def document(app: Flask, signs_in: bool = False) -> dict[str, Any]:
    """The OpenAPI description of ``app``: of what has a line in ``contract.OPERATIONS``.

    Args:
        signs_in: people sign in, so that the server knows their names.
    """
    from pydantic.json_schema import models_json_schema

    from flawsight.web.contract import OPERATIONS  # here: only this page needs all those models
    from flawsight.web.schemas import Problem

    models = {Problem} | {
        model
        for operation in OPERATIONS.values()
        for model in (operation.answer, operation.body, operation.form, operation.query)
        if model
    }
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=COMPONENTS)
    if not signs_in:
        _require_names(schemas["$defs"][one.body.__name__] for one in OPERATIONS.values() if one.body)
    paths: dict[str, dict[str, Any]] = {}
    for rule, method in described(app):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if operation := OPERATIONS.get(rule.endpoint):
            made = _operation(app, rule, operation, schemas["$defs"])
            paths.setdefault(path, {})[method.lower()] = made
    queries = {operation.query.__name__ for operation in OPERATIONS.values() if operation.query}
    sent = {model.__name__ for one in OPERATIONS.values() for model in (one.answer, one.body) if model}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flawsight",
            "version": __version__,
            "description": "Looks at a photo of a part: good or defective, what, where, how sure.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in OPERATIONS.values())],
        "paths": paths,
        "components": {
            "schemas": {
                name: schema for name, schema in schemas["$defs"].items() if name not in queries - sent
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Not needed where nobody signs in.",
                }
            },
            "responses": {str(status): _problem(status) for status in USUAL},
        },
    }


def _require_names(bodies: Iterable[dict[str, Any]]) -> None:
    for schema in bodies:
        names = [name for name in NAMES if name in schema["properties"]]
        schema["required"] = list(dict.fromkeys([*names, *schema.get("required", ())]))


def _operation(app: Flask, rule: Rule, it: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    summary, __, rest = inspect.cleandoc(view.__doc__ or "").replace("``", "`").partition("\n\n")
    role = getattr(view, "role", None)
    needs = f"Needs the role {role}." if role else ""
    made: dict[str, Any] = {
        "operationId": rule.endpoint,
        "tags": [it.tag],
        "summary": " ".join(summary.split()),
        "description": "\n\n".join(filter(None, (rest, needs))),
        "parameters": [*_in_path(rule), *_in_query(it, schemas)],
        "responses": _responses(rule, it),
    }
    if it.body:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(it.body)}}}
    if it.form:
        made["requestBody"] = {
            "required": True, "content": {"multipart/form-data": {"schema": _ref(it.form)}},
        }  # fmt: skip
    return {key: value for key, value in made.items() if value}


def _in_path(rule: Rule) -> list[dict[str, Any]]:
    kinds = dict.fromkeys(rule.arguments, "string")
    kinds |= dict.fromkeys(re.findall(r"<int:(\w+)>", rule.rule), "integer")
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": kinds[name]}}
        for name in re.findall(r"<(?:\w+:)?(\w+)>", rule.rule)
    ]


def _in_query(it: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if it.query is None:
        return []
    schema = schemas[it.query.__name__]
    needed = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in needed,
            **({"description": one["description"]} if "description" in one else {}),
            "schema": _said(one),
        }
        for name, one in schema["properties"].items()
    ]


def _said(schema: dict[str, Any]) -> dict[str, Any]:
    """What a parameter is if it is given: nothing is said by leaving it out."""
    schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    return {key: value for key, value in schema.items() if key not in ("title", "description", "default")}


def _responses(rule: Rule, it: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {media: {} for media in it.media}
    if "application/json" in content:
        content["application/json"] = {"schema": _ref(it.answer) if it.answer else {"type": "object"}}
    made: dict[str, Any] = {str(it.status): {"description": "Done.", "content": content}}
    if rule.endpoint == "health.readyz":
        made["503"] = {"description": "Not ready, and why.", "content": content}
    statuses = {*ALWAYS, *it.problems, *([404] if rule.arguments else [])}
    return made | {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in sorted(statuses)
        if str(status) not in made
    }


def _problem(status: int) -> dict[str, Any]:
    title = PROBLEMS[USUAL[status]][1]
    schema = {"$ref": COMPONENTS.format(model="Problem")}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}


def _ref(model: type) -> dict[str, str]:
    return {"$ref": COMPONENTS.format(model=model.__name__)}


# --- the page -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One operation as the page shows it."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[tuple[str, str, bool, str]]
    sent: list[tuple[str, str, bool, str]]
    sent_as: str
    given: list[tuple[str, str, bool, str]]
    given_as: str
    status: str
    problems: list[tuple[str, str]]
    curl: str


def _line(
    document: dict[str, Any], path: str, method: str, operation: dict[str, Any], words: list[str]
) -> Line:
    """One operation; its example begins with ``words``."""
    status, success = next(iter(operation["responses"].items()))
    given: dict[str, Any] = next(iter(success["content"].values()), {})
    body: dict[str, Any] = operation.get("requestBody", {"content": {"": {}}})["content"]
    sent_as, sent = next(iter(body.items()))
    responses = document["components"]["responses"]
    return Line(
        id=operation["operationId"].replace(".", "-"),
        tag=operation["tags"][0],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        parameters=[
            (one["name"], _kind(one["schema"]), one["required"], one.get("description", ""))
            for one in operation.get("parameters", ())
        ],
        sent=_fields(document, sent.get("schema", {})),
        sent_as=sent_as,
        given=_fields(document, given.get("schema", {})),
        given_as=", ".join(success["content"]) or _("nothing"),
        status=status,
        problems=[
            (code, responses[code]["description"]) for code in operation["responses"] if code in responses
        ],
        curl=_curl(
            words,
            _sending(method, sent_as, _example(_resolved(document, sent.get("schema", {})))),
            next(iter(success["content"]), ""),
            _address(path, operation.get("parameters", ())),
        ),
    )


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    """Name, kind, whether it is always there, and what it means."""
    schema = _resolved(document, schema)
    return [
        (name, _kind(one), name in schema.get("required", ()), one.get("description", ""))
        for name, one in schema.get("properties", {}).items()
    ]


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words: ``list of Box``, ``accept | reject``."""
    match schema:
        case {"$ref": str() as ref}:
            return ref.rsplit("/", 1)[1]
        case {"const": value}:
            return json.dumps(value)
        case {"enum": list() as values}:
            return " | ".join(value or '""' for value in values)
        case {"anyOf": list() as choices}:
            return " or ".join(_kind(choice) for choice in choices)
        case {"type": "array", "items": dict() as items}:
            return f"list of {_kind(items)}"
        case {"contentMediaType": str()}:
            return "file"
        case {"type": "string", "format": str() as form}:
            return form
    return str(schema.get("type", "any"))


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields that must be sent, and those that mostly are: these have an example."""
    values = {"integer": 1, "number": 1.0, "array": [], "object": {}}
    return {
        name: _first(one) or values.get(one.get("type", ""), "…")
        for name, one in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or "examples" in one
    }


def _first(schema: dict[str, Any]) -> Any:
    return next(iter([*schema.get("examples", ()), *schema.get("enum", ())]), None)


def _curl(words: list[str], sending: list[str], media: str, address: str) -> str:
    saving = ["-o", SAVED[media]] if media in SAVED else []
    return shlex.join([*words, *sending, *saving, request.host_url.rstrip("/") + address])


def _sending(method: str, sent_as: str, example: dict[str, Any]) -> list[str]:
    """What curl is told to send."""
    if sent_as == "multipart/form-data":
        fields = [f"{name}={'@' if name == 'file' else ''}{value}" for name, value in example.items()]
        return [word for field in fields for word in ("-F", field)]
    if sent_as:
        return ["--json", json.dumps(example, ensure_ascii=False)]
    return [] if method == "get" else ["-X", method.upper()]


def _address(path: str, parameters: Iterable[dict[str, Any]]) -> str:
    """``path`` with names in capitals where something is to be filled in, and what must be asked."""
    query = {
        one["name"]: _first(one["schema"]) for one in parameters if one["in"] == "query" and one["required"]
    }
    filled_in = re.sub(r"{(\w+)}", lambda found: found[1].upper(), path)
    return f"{filled_in}?{urlencode(query)}" if query else filled_in
