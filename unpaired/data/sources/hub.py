"""Data sets on the Hugging Face hub, read in byte ranges as they are needed.

`hf://datasets/user/name[@revision][/folder]` names a data set, or a folder of it. Only such names cause requests,
and nothing is stored on disk.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from unpaired.core.errors import BadInput, shown

NAME = re.compile(
    r"hf:/{1,2}datasets/(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>refs/\w+/[\w.-]+|[\w.-]+))?(?:/(?P<inside>.*))?"
)
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, order=True)
class HubPath:
    """A data set on the hub, or a file or folder in it."""

    repo: str
    revision: str
    """A branch, a tag or a commit; empty for the newest."""
    inside: str
    """Path in the repository; empty for all of it."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.inside).name

    @property
    def suffix(self) -> str:
        """The suffix of `name`."""
        return PurePosixPath(self.inside).suffix

    def under(self, root: Path | str) -> str:
        """The path within the data set `root`; `listed/datasets/...` where it is elsewhere."""
        if is_remote(root):
            top = hub_path(root)
            if (top.repo, top.revision) == (self.repo, self.revision):
                return self.inside.removeprefix(f"{top.inside}/") if top.inside else self.inside
        return f"listed/{str(self).removeprefix('hf://')}"

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://datasets/{self.repo}{revision}" + (f"/{self.inside}" if self.inside else "")


def is_remote(name: Path | str) -> bool:
    """Whether the name of a data set leads to the hub; `Path` leaves one slash of two."""
    return str(name).startswith("hf:/")


def hub_path(name: Path | str) -> HubPath:
    """The parts of a name; raises `BadInput` where it has another form."""
    match = NAME.fullmatch(str(name))
    if match is None:
        raise BadInput(f"{shown(name)}: expected hf://datasets/user/name, with @revision and /folder where needed")
    return HubPath(match["repo"], match["revision"] or "", (match["inside"] or "").strip("/"))


def pinned(name: str, begun_at: str = "") -> str:
    """A data set's name with the commit of its revision; any other name unchanged.

    `begun_at` is the name with the commit that a run started with; it stays unless `name` gives a revision.
    """
    if not is_remote(name):
        return name
    path = hub_path(name)
    if is_remote(begun_at) and not path.revision:
        then = hub_path(begun_at)
        if (then.repo, then.inside) == (path.repo, path.inside):
            return begun_at
    return str(replace(path, revision=_files(path)[0]))


def files_under(root: Path | str | HubPath, suffix: str) -> list[HubPath]:
    """The files of a data set, or of a folder of it, that end in `suffix`, sorted."""
    top = root if isinstance(root, HubPath) else hub_path(root)
    prefix = f"{top.inside}/" if top.inside else ""
    names = (name for name in _files(top)[1] if name.startswith(prefix) and name.endswith(suffix))
    return sorted(replace(top, inside=name) for name in names)


def matching(name: str, suffix: str) -> list[HubPath]:
    """Files that end in `suffix`, at one commit: of a repository, of a folder of it, or those that a * matches.

    Raises:
        BadInput: there are none.
    """
    path = hub_path(name)
    every = files_under(HubPath(path.repo, _files(path)[0], ""), suffix)
    wanted = (path.inside or "*", f"{path.inside}/*")
    files = [file for file in every if any(fnmatchcase(file.inside, pattern) for pattern in wanted)]
    if not files:
        found = ", ".join(file.inside for file in every[:8]) or "none at all"
        raise BadInput(f"{shown(name)}: no {suffix} file of that name, found {found}")
    return files


def commit_of(path: HubPath) -> tuple[str, str]:
    """The hub's address, and the commit of a path's revision."""
    return huggingface().constants.ENDPOINT, _files(path)[0]


class RemoteFile(io.RawIOBase):
    """A file on the hub, read in ranges: only the bytes that are read are transferred."""

    def __init__(self, path: HubPath) -> None:
        """Reads nothing yet; raises `BadInput` where there is no such file."""
        commit, sizes = _files(path)
        if path.inside not in sizes:
            raise BadInput(f"{path}: no such file in {path.repo} at {commit[:12]}")
        self.path, self.size, self.position = path, sizes[path.inside], 0
        self.url = huggingface().hf_hub_url(path.repo, path.inside, repo_type="dataset", revision=commit)

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        """The next bytes, in one request; raises `BadInput` after half a minute of retries."""
        count = max(0, min(len(buffer), self.size - self.position))
        if count:
            buffer[:count] = _range(self.path, self.url, self.position, self.position + count)
            self.position += count
        return count


def huggingface() -> Any:
    """The package that talks to the hub; raises `BadInput` where it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise BadInput("the hub needs huggingface_hub; pip install 'unpaired[hub]'") from error
    return huggingface_hub


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Turn errors of the hub into `BadInput`, one line each."""
    errors, http = huggingface().errors, huggingface().utils.httpx
    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"{repo}: no such repository, or a private one; log in with `hf auth login`") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{repo}: no such revision") from error
    except (errors.HfHubHTTPError, http.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{repo}: the hub cannot be reached ({type(error).__name__}: {reason})") from error


def _range(path: HubPath, url: str, start: int, stop: int) -> bytes:
    """Bytes start..stop-1; `http_backoff` retries broken connections and a busy hub."""
    hub = huggingface()
    headers = {**hub.utils.build_hf_headers(), "range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
    try:
        with hub_errors(shown(path)):
            wait = hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
            answer = hub.utils.http_backoff("GET", url, headers=headers, timeout=wait)
            hub.utils.hf_raise_for_status(answer)
    except BadInput as error:
        raise BadInput(f"{error}; nothing is lost: run the same command again to resume") from error
    if answer.status_code != 206 or len(answer.content) != stop - start:
        found = f"{len(answer.content)} bytes with status {answer.status_code}"
        raise BadInput(f"{shown(path)}: expected {stop - start} bytes, found {found}; the hub must support ranges")
    return answer.content


def _files(path: HubPath) -> tuple[str, dict[str, int]]:
    """The commit of a path's revision, fixed for this process, and the repository's files with their sizes."""
    return _listing(huggingface().constants.ENDPOINT, path.repo, path.revision)


@lru_cache(maxsize=64)
def _listing(endpoint: str, repo: str, revision: str) -> tuple[str, dict[str, int]]:
    with hub_errors(f"datasets/{repo}"):
        about = huggingface().HfApi().dataset_info(repo, revision=revision or None, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in about.siblings or []}
    if not COMMIT.fullmatch(about.sha or ""):
        raise BadInput(f"datasets/{repo}: expected a commit hash from the hub, found {shown(about.sha)}")
    if revision != about.sha:
        megabytes = sum(sizes.values()) / 1e6
        what = f"{len(sizes)} files, {megabytes:.1f} MB, at commit {about.sha[:12]} of {endpoint}"
        print(f"datasets/{repo}: {what}; read in parts as they are needed", file=sys.stderr, flush=True)
    return about.sha, sizes
