"""The HTTP interface: an image in, its translation out. Bytes only: no request can name a path or an address."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib import resources
from importlib.abc import Traversable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from unpaired.checkpoints.shipped import example_file, shipped_models
from unpaired.config import Direction, Scale
from unpaired.core.version import __version__
from unpaired.serve.api_page import api_page
from unpaired.serve.body import FIELD, Held, read_body
from unpaired.serve.dispatcher import Busy, Dispatcher, Job, Reply
from unpaired.serve.guard import refusal
from unpaired.serve.limits import Limits
from unpaired.serve.media import MEDIA_TYPES, OTHER
from unpaired.serve.metrics import Metrics

Format = Literal["png", "jpg", "webp", "tif", "bmp"]
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/zip.js": ("zip.js", "text/javascript"),
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
MEDIA = (*MEDIA_TYPES.values(), OTHER)
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
    """Their names, for people."""
    about: About | None = None
    """Its card, if it comes with the package."""


class Models(BaseModel):
    """What this server offers and what it takes."""

    models: list[Model]
    max_bytes: int
    max_pixels: int


def problems(**why: str) -> dict[int | str, dict[str, Any]]:
    """Planned errors of a path, for its description: _413="too large"."""
    return {int(status[1:]): {"model": Problem, "description": text} for status, text in why.items()}


GUARDED = problems(
    _401="No token, or not this server's",
    _403="Asked by a page of another site",
    _421="Asked by a name that this server does not go by",
    _503="Too much to do, stopping, or not ready yet; Retry-After tells when to come back",
)
MISSING = problems(_404="There is none", _422="Not a name of a model")
TRANSLATE = GUARDED | problems(
    _400="Not a form",
    _408="The image took too long to arrive",
    _413="More bytes than the limit, or more pixels than this machine translates within its memory and the timeout",
    _415="Not an image's content type",
    _422="Not an image, damaged, more pixels than the limit (checked before decoding), or an unknown setting",
    _504="Not translated in time",
)


def build_app(dispatcher: Dispatcher, limits: Limits, metrics: Metrics) -> FastAPI:
    """The app around a dispatcher, which it runs."""
    held, names = Held(), list(dispatcher.paths)

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
    add_files(app, resources.files("unpaired.serve") / "page", PAGE)

    body = {kind: BINARY for kind in MEDIA} | {"multipart/form-data": {"schema": FORM}}

    @app.post(
        "/translate",
        response_class=Response,
        responses={200: {"content": {kind: BINARY for kind in MEDIA}, "description": "The translation"}, **TRANSLATE},
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )
    async def translate(
        request: Request,
        model: Annotated[str | None, Query(description="Name; the first unless given", max_length=64)] = None,
        direction: Annotated[Direction | None, Query(description="The model's first unless given")] = None,
        format: Annotated[Format | None, Query(description="Of the answer; as the image's unless given")] = None,
        scale: Annotated[Scale, Query(description="own: the image's size; train: that of training")] = "own",
    ) -> Response:
        """Translate an image, the body itself or the one file of a form; bit depth is kept, `scale` sets the size."""
        deadline = asyncio.get_running_loop().time() + limits.timeout
        if (model := model or names[0]) not in names:
            raise HTTPException(422, f"model: expected {', '.join(names)}, found {model!r}")
        with held.part() as share:
            data = await read_body(request, limits, share, deadline)
            job = Job(model, direction, f".{format}" if format else None, data, scale)
            dispatcher.submit(job)
            reply = await _reply(request, job, deadline)
        if reply.status != 200:
            raise HTTPException(reply.status, reply.detail)
        timing = {"Server-Timing": f"inference;dur={1000 * reply.seconds:.1f}"}
        return Response(reply.body, media_type=reply.media_type, headers=timing)

    @app.get("/models", responses=GUARDED)
    async def models() -> Models:
        """The models by name with their directions and channels, and the limits of a request."""
        if not dispatcher.models:
            raise HTTPException(503, "the models are being loaded", headers={"Retry-After": "2"})
        offered = [Model(name=name, **found, about=_about(name)) for name, found in dispatcher.models.items()]
        return Models(models=offered, max_bytes=limits.max_bytes, max_pixels=limits.max_pixels)

    @app.get(
        "/examples/{model}",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": BINARY}, "description": "The image"}, **GUARDED, **MISSING},
    )
    async def example(model: Annotated[str, PathParameter(max_length=64)]) -> Response:
        """An example of a model that comes with the package: inputs above, translations below."""
        file = example_file(model) if model in names else None
        if file is None:
            raise HTTPException(404, "no example of such a model")
        return Response(file.read_bytes(), media_type="image/jpeg")

    @app.get("/docs", response_class=Response, include_in_schema=False)
    async def docs(request: Request) -> Response:
        """The API in words."""
        return Response(api_page(app.openapi(), str(request.base_url)), media_type="text/html")

    @app.get("/health/live", responses=problems(_403=GUARDED[403]["description"], _421=GUARDED[421]["description"]))
    async def live() -> dict[str, str]:
        """200 while the server answers at all."""
        return {"status": "live"}

    @app.get("/health/ready", responses={key: GUARDED[key] for key in (403, 421, 503)})
    async def ready() -> dict[str, str]:
        """200 while a worker has its models loaded and tried, and requests are accepted."""
        if not dispatcher.ready:
            raise HTTPException(503, "no worker is ready", headers={"Retry-After": "2"})
        return {"status": "ready"}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}, **GUARDED},
    )
    async def measured() -> Response:
        """Counts and times for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return app


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
        if job.reply.done():
            return job.reply.result()
        if left.done():
            raise ClientDisconnect
        return Reply(504, detail="not translated in time; send a smaller image or come back later")
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


def add_files(app: FastAPI, folder: Traversable, files: Mapping[str, tuple[str, str]]) -> None:
    """Serve files of the package: path to name and media type."""
    for path, (name, kind) in files.items():
        app.add_route(path, _file((folder / name).read_bytes(), kind), methods=["GET", "HEAD"], include_in_schema=False)


def _file(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer
