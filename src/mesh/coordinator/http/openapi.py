"""The description of the HTTP API for programs: OpenAPI 3.1, made from the routes that run and the types they answer.

Touches: nothing.
"""

import re
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

import mesh
from mesh.coordinator.http.access import Access, public
from mesh.coordinator.http.described import ANSWERS, FILES
from mesh.coordinator.http.desk import KEY_LENGTH_MAX

router = APIRouter()
_REF = "#/components/schemas/{name}"
_REF_REFUSED = _REF.format(name="Refused")
_SCHEMES = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session of a person (from /v1/claim), or of a device, which only reads.",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (mesh_key_…): what its scopes name and its maker's role allows, in its network.",
    },
    "page": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-mesh",
        "description": "The dashboard's session; acts also need its own Origin and the header x-mesh-page.",
    },
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key again does nothing twice and gets the first answer, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[ -~]+$"},
}


class Refusal(msgspec.Struct, frozen=True):
    """What went wrong: a stable ``code``, its ``kind``, a sentence with the next step, and facts by code."""

    code: str
    kind: str
    message: str
    facts: dict[str, Any]


class Refused(msgspec.Struct, frozen=True):
    """Every refusal has this form; docs/errors.md lists the codes."""

    error: Refusal


@router.get("/openapi.json", dependencies=[public("describes the API, and says nothing of anybody")])
async def description(request: Request) -> Response:
    """This API as an OpenAPI 3.1 document."""
    app = request.app
    if not hasattr(app.state, "described"):
        app.state.described = msgspec.json.encode(document(app))
    return Response(app.state.described, media_type="application/json")


def document(app: FastAPI) -> dict[str, Any]:
    """The whole description."""
    found: dict[str, Any] = get_openapi(
        title="Mesh coordinator",
        version=mesh.__version__,
        openapi_version="3.1.0",
        summary="People, devices, jobs and credits of private networks. Payloads of jobs never come here.",
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    types = [*(one for one in ANSWERS.values() if one is not dict), Refused]
    _, models = msgspec.json.schema_components(types, ref_template=_REF)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(models)
    found["components"]["securitySchemes"] = _SCHEMES
    for route in app.routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            _describe(found["paths"][route.path_format][method.lower()], route, method)
    return found


def _describe(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    """Complete one operation: who may, what it answers, how it refuses, that it may be repeated."""
    (access,) = [one.dependency for one in route.dependencies if isinstance(one.dependency, Access)]
    operation["tags"] = [_name(route).partition(".")[0]]
    operation["operationId"] = _name(route).replace(".", "_") + (_address(route.path) if _name(route) in FILES else "")
    operation["description"] = f"{(route.endpoint.__doc__ or '').strip()}\n\nWho: {access.label}."
    operation["security"] = [] if access.public else [{name: []} for name in _SCHEMES if access.keys or name != "key"]
    refused = {"description": "Refused.", "content": {"application/json": {"schema": {"$ref": _REF_REFUSED}}}}
    answered = {"description": "Done.", "content": _content(_name(route))}
    operation["responses"] = {"200": answered, "default": refused}
    if method != "GET":
        operation["parameters"] = [*operation.get("parameters", []), _IDEMPOTENCY]


def _name(route: APIRoute) -> str:
    """Noun and function of a route, as ``described`` has it."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}.{route.endpoint.__name__}"


def _address(path: str) -> str:
    """An address as part of a name: the same function serves files at several."""
    return "_".join(["", *re.findall(r"\w+", path)])


def _content(name: str) -> dict[str, Any]:
    if name in FILES:
        return {kind: {} for kind in FILES[name]}
    told = ANSWERS.get(name, dict)
    schema = {"type": "object"} if told is dict else {"$ref": _REF.format(name=told.__name__)}
    return {"application/json": {"schema": schema}}
