"""Messages between the server and its worker: two lengths, a JSON object, and bytes. Nothing is unpickled."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">IQ")
"""Bytes of the JSON object and of what follows it."""

Message = tuple[dict[str, Any], bytes]


def packed(head: dict[str, Any], body: bytes = b"") -> bytes:
    """A message as it goes over the pipe."""
    text = json.dumps(head).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def read(stream: BinaryIO) -> Message | None:
    """The next message; None when the other side has gone."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    text, body = LENGTHS.unpack(lengths)
    head, content = stream.read(text), stream.read(body)
    return (json.loads(head), content) if len(head) == text and len(content) == body else None


async def receive(stream: asyncio.StreamReader) -> Message | None:
    """`read` without blocking the event loop."""
    try:
        text, body = LENGTHS.unpack(await stream.readexactly(LENGTHS.size))
        return json.loads(await stream.readexactly(text)), await stream.readexactly(body)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
