"""The Hugging Face hub: asked for what a name that leads to it stands for, and data sets read there piece by piece.

`hf://datasets/user/name[@revision][/folder]` is a data set. As a path it has one slash less, `hf:/datasets/...`, and
its files are paths below it like any others. Nothing is fetched unless a name begins so, and nothing is kept on disk.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from unpaired.core.errors import BadInput, shown

SCHEME = "hf:"
NAME = re.compile(
    r"hf:/{1,2}datasets/(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>refs/\w+/[\w.-]+|[\w.-]+))?(?:/(?P<inside>.*))?"
)
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Place:
    """What a name on the hub stands for."""

    repo: str
    revision: str
    """A branch, a tag or a commit; empty for the newest."""
    inside: str
    """Path in the repository; empty for all of it."""


def is_remote(path: Path | str) -> bool:
    """Whether a name leads to the hub."""
    return str(path).startswith(f"{SCHEME}/")


def place_of(name: Path | str) -> Place:
    """A name taken apart.

    Raises:
        BadInput: it is none.
    """
    match = NAME.fullmatch(str(name))
    if match is None:
        raise BadInput(f"{shown(name)}: expected hf://datasets/user/name, with @revision and /folder where needed")
    return Place(match["repo"], match["revision"] or "", (match["inside"] or "").strip("/"))


def pinned(name: str, begun_at: str = "") -> str:
    """A data set's name with the commit that it stands for; any other name as it is.

    Args:
        name: As the user gave it.
        begun_at: The name with a commit that a run began with, which is kept unless `name` says a revision itself.
    """
    if not is_remote(name):
        return name
    place = place_of(name)
    if is_remote(begun_at) and not place.revision:
        then = place_of(begun_at)
        if (then.repo, then.inside) == (place.repo, place.inside):
            return begun_at
    commit, _ = _files(place)
    return f"hf://datasets/{place.repo}@{commit}" + (f"/{place.inside}" if place.inside else "")


def files_under(root: Path, suffix: str) -> list[Path]:
    """The files of a data set, or of a folder of it, that end in `suffix`: paths below `root`, sorted."""
    place = place_of(root)
    prefix = f"{place.inside}/" if place.inside else ""
    names = (name.removeprefix(prefix) for name in _files(place)[1] if name.startswith(prefix))
    return sorted(root / name for name in names if name.endswith(suffix))


def matching(name: str, suffix: str) -> list[Path]:
    """Files that end in `suffix`, at one commit: of a repository, of a folder of it, or those that a * takes in.

    Raises:
        BadInput: there are none.
    """
    place = place_of(name)
    root = Path(pinned(f"hf://datasets/{place.repo}" + (f"@{place.revision}" if place.revision else "")))
    wanted = (place.inside or "*", f"{place.inside}/*")
    every = files_under(root, suffix)
    files = [path for path in every if any(fnmatchcase(path.relative_to(root).as_posix(), w) for w in wanted)]
    if not files:
        found = ", ".join(path.relative_to(root).as_posix() for path in every[:8]) or "none at all"
        raise BadInput(f"{shown(name)}: no {suffix} file of that name, found {found}")
    return files


def commit_of(path: Path) -> tuple[str, str]:
    """The hub, and the commit that a path's revision stands for."""
    return huggingface().constants.ENDPOINT, _files(place_of(path))[0]


class RemoteFile(io.RawIOBase):
    """A file of the hub, read by ranges; of no more than what is read is anything sent."""

    def __init__(self, path: Path) -> None:
        """Nothing of it is read yet.

        Raises:
            BadInput: there is no such file.
        """
        place = place_of(path)
        commit, sizes = _files(place)
        if place.inside not in sizes:
            raise BadInput(f"{path}: no such file in {place.repo} at {commit[:12]}")
        self.path, self.size, self.position = path, sizes[place.inside], 0
        self.url = huggingface().hf_hub_url(place.repo, place.inside, repo_type="dataset", revision=commit)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move there."""
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        """The next bytes, in one request.

        Raises:
            BadInput: the hub cannot be read, though asked again and again for half a minute.
        """
        count = max(0, min(len(buffer), self.size - self.position))
        if count:
            buffer[:count] = _range(self.path, self.url, self.position, self.position + count)
            self.position += count
        return count


def huggingface() -> Any:
    """The package that talks to the hub.

    Raises:
        BadInput: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise BadInput("the hub needs huggingface_hub; pip install 'unpaired[hub]'") from error
    return huggingface_hub


@contextmanager
def asking(repo: str) -> Iterator[None]:
    """What the hub answers when it does not give what was asked for, in one line."""
    errors, http = huggingface().errors, huggingface().utils.httpx
    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"{repo}: no such repository, or a private one; `hf auth login` tells who you are") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{repo}: no such revision") from error
    except (errors.HfHubHTTPError, http.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{repo}: the hub cannot be asked ({type(error).__name__}: {reason})") from error


def _range(path: Path, url: str, start: int, stop: int) -> bytes:
    """Bytes start..stop-1: `http_backoff` asks again where a connection breaks off or the hub is too busy."""
    hub = huggingface()
    headers = {**hub.utils.build_hf_headers(), "range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
    try:
        with asking(shown(path)):
            wait = hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
            answer = hub.utils.http_backoff("GET", url, headers=headers, timeout=wait)
            hub.utils.hf_raise_for_status(answer)
    except BadInput as error:
        raise BadInput(f"{error}; nothing is lost: give the same command again once it answers") from error
    if answer.status_code != 206 or len(answer.content) != stop - start:
        found = f"{len(answer.content)} bytes with status {answer.status_code}"
        raise BadInput(f"{shown(path)}: asked for {stop - start} bytes of it and got {found}; a hub must take ranges")
    return answer.content


def _files(place: Place) -> tuple[str, dict[str, int]]:
    """The commit that a place's revision stands for in this process, and the repository's files with their sizes."""
    return _listing(huggingface().constants.ENDPOINT, place.repo, place.revision)


@lru_cache(maxsize=64)
def _listing(endpoint: str, repo: str, revision: str) -> tuple[str, dict[str, int]]:
    with asking(f"datasets/{repo}"):
        about = huggingface().HfApi().dataset_info(repo, revision=revision or None, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in about.siblings or []}
    if not COMMIT.fullmatch(about.sha or ""):
        raise BadInput(f"datasets/{repo}: the hub tells no commit of it, found {shown(about.sha)}")
    if revision != about.sha:
        megabytes = sum(sizes.values()) / 1e6
        what = f"{len(sizes)} files, {megabytes:.1f} MB, at commit {about.sha[:12]} of {endpoint}"
        print(f"datasets/{repo}: {what}; read piece by piece, as they are needed", file=sys.stderr, flush=True)
    return about.sha, sizes
