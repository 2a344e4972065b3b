"""Every route of the gateway: a table. What is not in it does not exist.

Touches: the clock (durations that Ollama's clients want).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from mesh.agent.gateway import chatting, ollama, openai, reading
from mesh.agent.gateway.calls import Call, Handler, Reply, headers_of
from mesh.agent.gateway.names import AUTO, KnownModel, UnknownModel, meant
from mesh.errors import MeshError
from mesh.workloads.known import WORKLOADS, workload_named

EMBEDDINGS = workload_named("embeddings")


class Dialect(NamedTuple):
    """How a family of clients wants to be told of errors."""

    error_body: Callable[[MeshError], bytes]


OPENAI = Dialect(openai.error_body)
OLLAMA = Dialect(ollama.error_body)


class Route(NamedTuple):
    """One route. ``works``: it runs jobs: limits and turns of keys count. ``beneath``: it has the paths below it."""

    method: str
    path: str
    dialect: Dialect
    handler: Handler
    works: bool = False
    beneath: bool = False


def dialect_of(path: str) -> Dialect:
    """How to refuse at a path, whether it exists or not."""
    return OLLAMA if path.startswith("/api/") else OPENAI


# --- OpenAI's ---------------------------------------------------------------------------------------------------------


async def embeddings(call: Call) -> Reply:
    """Texts to vectors."""
    request, payload = openai.read_embeddings(call.body)
    openai.check_dimensions(request.dimensions, _width(call, request.model))
    done = await call.run(EMBEDDINGS, payload, request.model)
    return Reply(openai.embeddings_answer(request, done.payload), headers_of(done.results))


async def models(call: Call) -> Reply:
    """The models that may be asked for."""
    return Reply(openai.models_answer(call.front.around.models()))


async def model(call: Call) -> Reply:
    """One model."""
    body = openai.model_answer(call.rest, call.front.around.models())
    if body is None:
        raise UnknownModel
    return Reply(body)


# --- Ollama's ---------------------------------------------------------------------------------------------------------


async def embed(call: Call) -> Reply:
    """Texts to vectors."""
    started = time.monotonic()
    request, payload = ollama.read_embed(call.body)
    openai.check_dimensions(request.dimensions, _width(call, request.model))
    done = await call.run(EMBEDDINGS, payload, request.model)
    body = ollama.embed_answer(request, done.payload, time.monotonic() - started)
    return Reply(body, headers_of(done.results))


async def old_embed(call: Call) -> Reply:
    """One text to a vector, as it was said before."""
    request, payload = ollama.read_old_embed(call.body)
    done = await call.run(EMBEDDINGS, payload, request.model)
    return Reply(ollama.old_embed_answer(done.payload), headers_of(done.results))


async def tags(call: Call) -> Reply:
    """The models that may be asked for."""
    return Reply(ollama.tags_answer(call.front.around.models()))


async def ps(call: Call) -> Reply:
    """The models that are loaded."""
    return Reply(ollama.ps_answer(call.front.around.models()))


async def show(call: Call) -> Reply:
    """One model."""
    found = _known(call, ollama.read_show(call.body))
    if found is None:
        raise UnknownModel
    return Reply(ollama.show_answer(found))


async def version(call: Call) -> Reply:
    """The version of Mesh."""
    return Reply(ollama.version_answer())


def _known(call: Call, name: str) -> KnownModel | None:
    """The model that a name means, for whatever work it is for."""
    around = call.front.around
    known = around.models()
    for workload in WORKLOADS.values():
        try:
            found = meant(name, workload, known, around.device_named)
        except UnknownModel:
            continue
        if found.listed:
            return next((one for one in known if one.id == found.model), None)
    return None


def _width(call: Call, name: str) -> int | None:
    """How wide the vectors of a named model are, where that is known."""
    if name == AUTO:
        name = EMBEDDINGS.default_model
    return next((one.dim for one in call.front.around.models() if one.id == name), None)


ROUTES = (
    Route("POST", "/v1/embeddings", OPENAI, embeddings, works=True),
    Route("GET", "/v1/models", OPENAI, models),
    Route("GET", "/v1/models/", OPENAI, model, beneath=True),
    Route("POST", "/v1/chat/completions", OPENAI, chatting.chat_completions, works=True),
    Route("POST", "/v1/completions", OPENAI, chatting.completions, works=True),
    Route("POST", "/v1/responses", OPENAI, chatting.respond, works=True),
    Route("POST", "/v1/ocr", OPENAI, reading.ocr, works=True),
    Route("POST", "/api/chat", OLLAMA, chatting.ollama_chats, works=True),
    Route("POST", "/api/generate", OLLAMA, chatting.generate, works=True),
    Route("POST", "/api/embed", OLLAMA, embed, works=True),
    Route("POST", "/api/embeddings", OLLAMA, old_embed, works=True),
    Route("GET", "/api/tags", OLLAMA, tags),
    Route("GET", "/api/ps", OLLAMA, ps),
    Route("POST", "/api/show", OLLAMA, show),
    Route("GET", "/api/version", OLLAMA, version),
)


class NoRoute(MeshError):
    """There is nothing at this address. The gateway's routes are in docs/apis.md."""

    code = "gateway.no_route"
    kind = "not_found"


_exact = {(route.method, route.path): route for route in ROUTES if not route.beneath}
_beneath = tuple(route for route in ROUTES if route.beneath)


def route_of(method: str, path: str) -> tuple[Route, str]:
    """The route of a request, and what its path has beyond the route's own. Raises NoRoute."""
    found = _exact.get((method, path))
    if found is not None:
        return found, ""
    for route in _beneath:
        rest = path.removeprefix(route.path)
        if method == route.method and path.startswith(route.path) and rest:
            return route, rest
    raise NoRoute
