"""The HTTP interface: an image in, its translation out. Bytes only: no request can name a path or an address."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from unpaired.checkpoints.shipped import example_file, shipped_models
from unpaired.config import Direction, Scale
from unpaired.core.version import __version__
from unpaired.serve.body import FIELD, Held, read_body
from unpaired.serve.dispatcher import Busy, Dispatcher, Job, Reply
from unpaired.serve.guard import refusal
from unpaired.serve.limits import MEDIA_TYPES, OTHER, Limits
from unpaired.serve.metrics import Metrics

Format = Literal["png", "jpg", "webp", "tif", "bmp"]
Responses = dict[int | str, dict[str, Any]]
PACKAGE = "unpaired.serve"
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/zip.js": ("zip.js", "text/javascript"),
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE = {kind: BINARY for kind in (*MEDIA_TYPES.values(), OTHER)}
FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: BINARY["schema"]}, "additionalProperties": False}


class Problem(BaseModel):
    """Why a request was not answered with what it asked for."""

    detail: str


class About(BaseModel):
    """The card of a model that comes with the package."""

    summary: str
    size: int
    """Side in pixels of the images it was trained on."""
    licence: str
    """Of its training data."""
    example: bool
    """Whether GET /examples/NAME shows a translation."""


class Model(BaseModel):
    """A model and what it translates."""

    name: str
    directions: dict[Direction, dict[str, int]]
    """Of each: channels in and out, and the largest image in pixels."""
    domains: dict[Literal["A", "B"], str]
    about: About | None = None


class Models(BaseModel):
    """What this server offers and what it takes."""

    models: list[Model]
    max_bytes: int
    max_pixels: int


def _content(description: str, media: Mapping[str, Any]) -> Responses:
    return {200: {"content": media, "description": description}}


def _problems(why: dict[int, str]) -> Responses:
    return {status: {"model": Problem, "description": text} for status, text in why.items()}


GUARDED = _problems(
    {
        401: "No token, or not this server's",
        403: "Asked by a page of another site",
        421: "Asked by a name that this server does not go by",
        503: "Too much to do, stopping, or not ready yet; Retry-After tells when to come back",
    }
)
LIVE: Responses = {status: GUARDED[status] for status in (403, 421)}
EXAMPLE = _content("The image", {"image/jpeg": BINARY}) | GUARDED
EXAMPLE |= _problems({404: "There is none", 422: "Not a name of a model"})
TRANSLATE = _content("The translation", IMAGE) | GUARDED
TRANSLATE |= _problems(
    {
        400: "Not a form",
        408: "The image took too long to arrive",
        413: "More bytes than the limit, or more pixels than this machine translates within its memory and the timeout",
        415: "Not an image's content type",
        422: "Not an image, damaged, more pixels than the limit (checked before decoding), or an unknown setting",
        504: "Not translated in time",
    }
)
METRICS = _content("Prometheus' text format", {"text/plain": {}}) | GUARDED
SETTINGS = {"model", "direction", "format", "scale"}
BODY = {"requestBody": {"required": True, "content": IMAGE | {"multipart/form-data": {"schema": FORM}}}}


def build_app(dispatcher: Dispatcher, limits: Limits, metrics: Metrics) -> FastAPI:
    """The app around a dispatcher, which it runs."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(dispatcher.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    app = FastAPI(title="unpaired", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    add_handlers(app)
    add_files(app, PACKAGE, PAGE)
    api, add = Api(dispatcher, limits, metrics), app.add_api_route
    add("/translate", api.translate, methods=["POST"], responses=TRANSLATE, openapi_extra=BODY, response_class=Response)
    add("/models", api.models, responses=GUARDED)
    add("/examples/{model}", api.example, responses=EXAMPLE, response_class=Response)
    add("/docs", api.docs, include_in_schema=False, response_class=Response)
    add("/health/live", api.live, responses=LIVE)
    add("/health/ready", api.ready, responses={**LIVE, 503: GUARDED[503]})
    add("/metrics", api.measured, responses=METRICS, response_class=Response)
    return app


@dataclass(frozen=True)
class Api:
    """What the paths answer."""

    dispatcher: Dispatcher
    limits: Limits
    metrics: Metrics
    held: Held = field(default_factory=Held)

    async def translate(
        self,
        request: Request,
        model: Annotated[str | None, Query(description="Name; the first unless given", max_length=64)] = None,
        direction: Annotated[Direction | None, Query(description="The model's first unless given")] = None,
        format: Annotated[Format | None, Query(description="Of the answer; as the image's unless given")] = None,
        scale: Annotated[Scale, Query(description="own: the image's size; train: that of training")] = "own",
    ) -> Response:
        """Translate an image, the body itself or the one file of a form; bit depth is kept, `scale` sets the size."""
        if unknown := sorted(set(request.query_params) - SETTINGS):
            raise HTTPException(422, f"expected settings {', '.join(sorted(SETTINGS))}; found {unknown[0]!r}")
        deadline, names = asyncio.get_running_loop().time() + self.limits.timeout, list(self.dispatcher.paths)
        if (model := model or names[0]) not in names:
            raise HTTPException(422, f"model: expected {', '.join(names)}, found {model!r}")
        with self.held.part() as share:
            data = await read_body(request, self.limits, share, deadline)
            job = Job(model, direction, f".{format}" if format else None, data, scale)
            self.dispatcher.submit(job)
            reply = await _reply(request, job, deadline)
        if reply.status != 200:
            raise HTTPException(reply.status, reply.detail)
        headers = {"Server-Timing": f"inference;dur={1000 * reply.seconds:.1f}"}
        headers |= {"Unpaired-Not-Taken-Along": reply.detail} if reply.detail else {}
        return Response(reply.body, media_type=reply.media_type, headers=headers)

    async def models(self) -> Models:
        """The models by name with their directions and channels, and the limits of a request."""
        if not self.dispatcher.models:
            raise HTTPException(503, "the models are being loaded", headers={"Retry-After": "2"})
        offered = [Model(name=name, **found, about=_about(name)) for name, found in self.dispatcher.models.items()]
        return Models(models=offered, max_bytes=self.limits.max_bytes, max_pixels=self.limits.max_pixels)

    async def example(self, model: Annotated[str, PathParameter(max_length=64)]) -> Response:
        """An example of a model that comes with the package: inputs above, translations below."""
        file = example_file(model) if model in self.dispatcher.paths else None
        if file is None:
            raise HTTPException(404, "no example of such a model")
        return Response(file.read_bytes(), media_type="image/jpeg")

    async def docs(self, request: Request) -> Response:
        """The API for people, from its OpenAPI description; no script, nothing from elsewhere."""
        description, base = request.app.openapi(), str(request.base_url)
        return page_of(PACKAGE, "api.html.j2", api=description, base=base, values=_values)

    async def live(self) -> dict[str, str]:
        """200 while the server answers at all."""
        return {"status": "live"}

    async def ready(self) -> dict[str, str]:
        """200 while a worker has its models loaded and tried, and requests are accepted."""
        if not self.dispatcher.ready:
            raise HTTPException(503, "no worker is ready", headers={"Retry-After": "2"})
        return {"status": "ready"}

    async def measured(self) -> Response:
        """Counts and times for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")


def _values(schema: Mapping[str, Any]) -> str:
    """What a parameter takes, e.g. `AtoB, BtoA` or `string`."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return " or ".join(", ".join(map(str, kind["enum"])) if "enum" in kind else kind.get("type", "") for kind in kinds)


def _about(name: str) -> About | None:
    model = shipped_models().get(name)
    if model is None:
        return None
    return About(summary=model.summary, size=model.size, licence=model.licence, example=example_file(name) is not None)


async def _reply(request: Request, job: Job, deadline: float) -> Reply:
    """What the dispatcher answers; 504 when it takes too long. A client that leaves frees its place."""
    left = asyncio.create_task(_until_gone(request))
    try:
        seconds = deadline - asyncio.get_running_loop().time()
        await asyncio.wait({job.reply, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if left.done() and not job.reply.done():
            raise ClientDisconnect
        late = Reply(504, detail="not translated in time; send a smaller image or come back later")
        return job.reply.result() if job.reply.done() else late
    finally:
        left.cancel()
        job.reply.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def add_handlers(app: FastAPI) -> None:
    """Every error in one form: {"detail": one line}."""

    @app.exception_handler(RequestValidationError)
    async def unexpected(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = [f"{each['loc'][-1]}: {each['msg']}, found {each.get('input')!r}" for each in error.errors()]
        return refusal(422, "; ".join(found))

    @app.exception_handler(Busy)
    async def busy(_request: Request, error: Busy) -> JSONResponse:
        return refusal(503, str(error), {"Retry-After": str(error.seconds)})

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return refusal(499, "the client has left")  # counted; nobody reads it

    @app.exception_handler(HTTPException)
    async def planned(_request: Request, error: HTTPException) -> JSONResponse:
        return refusal(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unplanned(_request: Request, _error: Exception) -> JSONResponse:
        return refusal(500, "the server failed; its log tells more")


def add_files(app: FastAPI, package: str, files: Mapping[str, tuple[str, str]]) -> None:
    """Serve files of a package's folder `page`: path to name and media type."""
    for path, (name, kind) in files.items():
        content = (resources.files(package) / "page" / name).read_bytes()
        answer = Response(content, media_type=kind)
        app.router.routes.append(Route(path, answer, methods=["GET", "HEAD"], include_in_schema=False))


def page_of(package: str, template: str, **values: Any) -> HTMLResponse:
    """A template of a package's folder `page`, filled in."""
    loader = FileSystemLoader(str(resources.files(package) / "page"))
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return HTMLResponse(environment.get_template(template).render(values))
