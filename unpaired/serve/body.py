"""A request's image, raw or in a form, counted while it comes in. It never touches the disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from unpaired.serve.limits import MEDIA_TYPES, OTHER, Limits

FIELD = "image"
"""The one field of a multipart form."""
FORM_OVERHEAD = 64 * 1024
"""Bytes that a form may add to its image."""
logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # else odd forms are told on stderr
LINGER = 1.0
"""Seconds in which the rest of a refused body is read and dropped, so that the client hears the refusal."""


@dataclass
class Held:
    """Bytes of images in memory."""

    bytes: int = 0
    whole: Held | None = None
    """What this is a part of."""

    def add(self, size: int) -> None:
        """Count bytes here and in the whole."""
        self.bytes += size
        if self.whole:
            self.whole.bytes += size

    @contextmanager
    def part(self) -> Iterator[Held]:
        """One request's share, given back at the end."""
        share = Held(whole=self)
        try:
            yield share
        finally:
            self.bytes -= share.bytes


class Refused(HTTPException):
    """A body that won't be read; the connection is closed after the answer."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(status, detail, headers={"Connection": "close", **headers})


async def read_body(request: Request, limits: Limits, share: Held, deadline: float) -> bytes:
    """The bytes of the image in a request: its body, or the one file of a form in the field `image`.

    Args:
        request: Read to its end.
        limits: For its size and that of all bodies together.
        share: Counts this body.
        deadline: By when it must be here, in the event loop's time.

    Raises:
        HTTPException: 400 not a form, 408 too slow, 413 too large, 415 not an image's type, 422 nothing in it,
            503 too many bytes held already.
    """
    kind = request.headers.get("content-type", OTHER).partition(";")[0].strip().lower()
    known = ("multipart/form-data", OTHER, MEDIA_TYPES[".dcm"])
    if kind not in known and not kind.startswith("image/"):
        raise Refused(415, f"Content-Type: expected an image, {', '.join(known[1:])} or a form, found {kind!r}")
    stream = _counted(request, limits, share)
    try:
        async with asyncio.timeout_at(deadline):
            data = await (_from_form(request, stream, limits) if kind[0] == "m" else _whole(stream))
    except TimeoutError:
        raise Refused(408, f"the image took more than {limits.timeout:g} s to arrive") from None
    if not data:
        raise HTTPException(422, "the body is empty; expected the bytes of an image")
    return data


async def _whole(stream: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def _counted(request: Request, limits: Limits, share: Held) -> AsyncGenerator[bytes, None]:
    """The body piece by piece, for as long as it stays within the limits."""
    most = limits.max_bytes + FORM_OVERHEAD
    too_large = Refused(413, f"the body is over the limit of {limits.max_bytes} bytes")
    if int(request.headers.get("content-length", "0")) > most:  # h11 lets digits through only
        await _refuse(request, too_large)
    async for chunk in request.stream():
        share.add(len(chunk))
        if share.bytes > most:
            await _refuse(request, too_large)
        if share.whole and share.whole.bytes > limits.held_bytes:
            busy = Refused(503, "too many images are in memory; come back later", **{"Retry-After": "5"})
            await _refuse(request, busy)
        yield chunk


async def _from_form(request: Request, stream: AsyncGenerator[bytes, None], limits: Limits) -> bytes:
    expected = f"expected a form with one file in the field {FIELD!r}"
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=0)
    parser.spool_max_size = limits.max_bytes + 2 * FORM_OVERHEAD  # never spooled to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        await _refuse(request, Refused(400, f"{expected} ({error.message})"))
    upload = form.get(FIELD)
    if upload is None or isinstance(upload, str):
        raise HTTPException(422, f"{expected}, found {list(form)}")
    data = await upload.read()
    await form.close()
    return data


async def _refuse(request: Request, refused: Refused) -> NoReturn:
    """Read on for a moment, then refuse: closing on unread bytes resets the connection before the answer is read."""
    until = time.monotonic() + LINGER
    try:
        async with asyncio.timeout(LINGER):
            if request.headers.get("expect", "").lower() != "100-continue":  # such a client sends nothing yet
                async for _ in request.stream():
                    if time.monotonic() > until:  # data that is always there never lets the timeout in
                        break
    except (TimeoutError, ClientDisconnect, RuntimeError):
        pass
    raise refused
