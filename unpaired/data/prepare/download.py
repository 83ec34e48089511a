"""Downloads that resume, and are believed only after their SHA-256 agrees.

Bytes go to `NAME.part`; what an interrupted run left there is continued with an HTTP range request, and
the file gets its name only when it is whole and verified. HTTP and HTTPS alone, redirects included.
"""

from __future__ import annotations

import http.client
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib import error, request

from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.core.progress import duration, progress

SCHEMES = ("http://", "https://")
CHUNK = 1 << 16
"""Most bytes read at once."""
MEGABYTE = 10**6
WORTH_ANOTHER_TRY = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which a retry makes sense."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long and how much a download may take."""

    max_bytes: int = 10 * 10**9
    """Larger files are refused."""
    timeout: float = 30.0
    """Seconds without a byte after which the connection is given up."""
    attempts: int = 6
    """Attempts in a row that bring nothing new."""
    pause: float = 1.0
    """Seconds before the second attempt; doubled before each further one."""


LIMITS = Limits()


class Refused(BadInput):
    """The server refused to send the file."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class WrongHash(BadInput):
    """A whole file that is not the one expected."""


class _Interrupted(Exception):
    """An attempt ended early; another may resume from there."""


def download(url: str, target: Path, sha256: str | None = None, limits: Limits = LIMITS) -> str:
    """Fetch `url` into the file `target`, whose folder is made too; returns the file's SHA-256 in hexadecimal.

    A target that is there already and has the hash `sha256` stays as it is. Without `sha256` any content is taken.

    Raises:
        Refused: the server answered 403, 404, ...
        WrongHash: the file is another one than expected; it was removed.
        BadInput: not http(s), too large for the limit or the disk, or the connection failed too often.
    """
    if target.is_file() and (found := file_sha256(target)) == (sha256 or found):
        print(f"{target}: downloaded before, used again", file=sys.stderr)
        return found
    _check_scheme(url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch_verified(url, target, sha256, limits)
    except OSError as trouble:  # the disk's: the network's have become _Interrupted or BadInput by here
        reason = trouble.strerror or trouble
        raise BadInput(f"{target}: cannot be written ({reason}); make room, or choose another place") from trouble


def _fetch_verified(url: str, target: Path, sha256: str | None, limits: Limits) -> str:
    part = target.with_name(target.name + ".part")
    resumed = _size(part) > 0
    found = _fetch(url, part, limits)
    if resumed and sha256 not in (None, found):
        # What the earlier run left may be the beginning of another version of the file.
        part.unlink(missing_ok=True)
        found = _fetch(url, part, limits)
    if sha256 not in (None, found):
        part.unlink(missing_ok=True)
        raise WrongHash(f"{url}: expected SHA-256 {sha256}, found {found}; the file was removed")
    part.replace(target)
    return found


def _fetch(url: str, part: Path, limits: Limits) -> str:
    """Attempt until `part` is whole; its SHA-256."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            _attempt(url, part, limits)
            return file_sha256(part)
        except _Interrupted as reason:
            have = _size(part)
            failures = 1 if have > furthest else failures + 1
            furthest = max(have, furthest)
            if failures >= limits.attempts:
                words = f"gave up after {failures} attempts that brought nothing new ({reason})"
                hint = f"check the connection and run the same command again, it resumes from {_megabytes(have)}"
                raise BadInput(f"{url}: {words}; {hint}") from reason
            wait = limits.pause * 2 ** (failures - 1)
            print(f"{reason}; trying again in {duration(wait)}", file=sys.stderr)
            time.sleep(wait)


def _attempt(url: str, part: Path, limits: Limits) -> None:
    """One request, which brings what `part` still lacks.

    Raises:
        _Interrupted: `part` is not whole yet.
    """
    response = _open(url, part, limits.timeout)
    if response is None:
        return
    with response:
        have = _size(part) if response.status == 206 else 0  # else the server ignores ranges and begins anew
        total = None if response.length is None else have + response.length
        _check_room(url, part, have, total, limits.max_bytes)
        size = "of unknown size" if total is None else _megabytes(total)
        rest = f", {_megabytes(have)} of it here already" if have else ""
        print(f"downloading {part.stem} from {url} ({size}{rest})", file=sys.stderr)
        parts = max(1, round((total or 0) / MEGABYTE))
        done = have * parts // (total or 1)
        bar = progress(f"{part.stem} (MB)", parts, done, quiet=total is None)
        with part.open("ab" if have else "wb") as file, bar as advance:
            for chunk in _chunks(response):
                file.write(chunk)
                have, before = have + len(chunk), have
                advance(have * parts // (total or 1) - before * parts // (total or 1))
                if have > limits.max_bytes:
                    break
    if have > limits.max_bytes:
        part.unlink(missing_ok=True)
        _check_size(url, have, limits.max_bytes)
    if total is not None and have < total:
        raise _Interrupted(f"the connection ended after {have} of {total} bytes")


def _open(url: str, part: Path, timeout: float) -> http.client.HTTPResponse | None:
    """The answer to a request for what `part` lacks; None where it lacks nothing."""
    have = _size(part)
    headers = {"User-Agent": "unpaired"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = _opener().open(request.Request(url, headers=headers), timeout=timeout)
    except error.HTTPError as answer:
        with answer:
            if answer.code == 416:  # the range begins at or behind the end of the file
                return _beyond_the_end(part, answer.headers.get("Content-Range", ""))
            reason = f"the server answered {answer.code} {answer.reason}"
            if answer.code in WORTH_ANOTHER_TRY:
                raise _Interrupted(reason) from answer
            raise Refused(f"{url}: {reason}; check the address, or use a mirror", answer.code) from answer
    except BadInput:
        raise
    except (http.client.InvalidURL, ValueError) as wrong:
        raise BadInput(f"{url}: expected an address ({wrong}); correct it") from wrong
    except (OSError, http.client.HTTPException) as broken:
        raise _Interrupted(f"no answer ({getattr(broken, 'reason', broken)})") from broken
    begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status == 206 and (begins is None or int(begins[1]) != have):
        response.close()
        part.unlink(missing_ok=True)
        raise _Interrupted("the server sent another range than the one asked for")
    return response


def _beyond_the_end(part: Path, content_range: str) -> None:
    """Accept a `part` that is complete by the server's byte count; restart with any other."""
    if content_range == f"bytes */{_size(part)}":
        return
    part.unlink(missing_ok=True)
    raise _Interrupted("what was downloaded before is longer than the file; beginning anew")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as broken:
        raise _Interrupted(f"the connection broke ({broken or type(broken).__name__})") from broken


class _HttpRedirects(request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):  # urllib itself refuses all but http and ftp
        try:
            _check_scheme(newurl)
        except BadInput:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> request.OpenerDirector:
    """An opener without urllib's handlers for file:, ftp: and data:."""
    opener = request.OpenerDirector()
    kinds = (request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler, _HttpRedirects)
    for kind in (*kinds, request.HTTPDefaultErrorHandler, request.HTTPErrorProcessor):
        opener.add_handler(kind())
    return opener


def _check_scheme(url: str) -> None:
    if not url.lower().startswith(SCHEMES):
        raise BadInput(f"{url}: expected an address that begins with https:// or http://; nothing was read from it")


def _check_size(url: str, size: int, limit: int) -> None:
    if size > limit:
        raise BadInput(f"{url}: expected at most {_megabytes(limit)}, found {_megabytes(size)} or more; not downloaded")


def _check_room(url: str, part: Path, have: int, total: int | None, limit: int) -> None:
    _check_size(url, total or 0, limit)
    needed, free = (total or 0) - have, shutil.disk_usage(part.parent).free
    if needed > free:
        found = f"found {_megabytes(free)}; make room"
        raise BadInput(f"{part.parent}: expected {_megabytes(needed)} free for {url}, {found}")


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
