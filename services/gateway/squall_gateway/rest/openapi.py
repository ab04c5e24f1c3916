"""The OpenAPI 3.1 document, made of the table of routes and the structs that requests are read as."""

import re
from importlib.metadata import version
from typing import Any, Final

import msgspec

from squall_gateway.rest import words
from squall_gateway.rest.problems import KINDS, MEDIA_TYPE
from squall_gateway.rest.routes import PREFIX, ROUTES, Given, Route

Json = dict[str, Any]
_COMMON: Final = (400, 401, 403, 404, 422, 500, 503)
"""What every route with a token may answer besides."""
_REF: Final = "#/components/schemas/{name}"


def document() -> Json:
    """The document of this version."""
    kinds = {each for route in ROUTES for each in (route.reply, route.body) if _is_struct(each)}
    ordered = sorted({*kinds, words.Problem}, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_REF)
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Squall",
            "version": version("squall"),
            "description": "Calls of deployed functions, for clients in any language.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> Json:
    made: Json = {
        "operationId": route.operation,
        "summary": route.about,
        "parameters": [*map(_path_parameter, _names(route.path)), *map(_parameter, route.given)],
        "responses": {str(status): _success(route) for status in (route.status, *route.also)},
    }
    errors = set(route.errors) if route.is_open else {*_COMMON, *route.errors}
    made["responses"] |= {str(status): _problem(status) for status in sorted(errors)}
    if route.body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": _schema(route.body)}}}
    if not route.is_open:
        made["security"] = [{"token": []}]
    return made


def _success(route: Route) -> Json:
    if route.streams:
        content: Json = {"text/event-stream": {"schema": {"type": "string"}}}
        return {"description": "events", "content": content}
    if route.reply is None:
        return {"description": "done"}
    content = {"application/json": {"schema": _schema(route.reply)}}
    return {"description": "as asked", "content": content}


def _problem(status: int) -> Json:
    content = {MEDIA_TYPE: {"schema": _schema(words.Problem)}}
    return {"description": KINDS[status][1], "content": content}


def _names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _path_parameter(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }


def _parameter(given: Given) -> Json:
    return {
        "name": given.name,
        "in": given.place,
        "description": given.about,
        "schema": msgspec.json.schema(given.kind),
    }


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _schema(kind: Any) -> Json:
    if _is_struct(kind):
        return {"$ref": _REF.format(name=kind.__name__)}
    return msgspec.json.schema(kind)
