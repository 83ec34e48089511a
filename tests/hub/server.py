"""The few endpoints of the Hugging Face hub that models and data sets use, over a folder on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Repositories are `folder/user/name` and `folder/datasets/user/name`.

    Their commit is COMMIT, or what the file `name.commit` says; a former one is the folder `name@commit`.
    """

    folder: Path
    seen: list[str]
    faults: list[str]
    """What becomes of the next answers to a Range: cut, busy or whole; all the others are whole."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self._path()
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            repo = repo if "/" in repo else f"user/{repo}"
            (self.folder / repo).mkdir(parents=True, exist_ok=True)
            (self.folder / f"{repo.replace('/', '--')}.json").write_text(json.dumps(asked))
            self._json({"url": f"http://{self.headers['Host']}/{repo}", "id": repo})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            self._json({"files": modes})
        elif "/commit/" in path:
            self._commit(path.split("/api/models/")[1].split("/commit/")[0], body)
        else:
            self.send_error(404)

    def _commit(self, repo: str, body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                target = self.folder / repo / entry["value"]["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(base64.b64decode(entry["value"]["content"]))
        url = f"http://{self.headers['Host']}/{repo}/commit/{COMMIT}"
        self._json({"commitUrl": url, "commitOid": COMMIT, "success": True})

    def do_GET(self) -> None:
        path = self._path()
        if "/resolve/" in path:
            repo, _, rest = path[1:].partition("/resolve/")
            revision, _, name = rest.partition("/")
            return self._file(self._at(repo, revision)[0] / name)
        repo, _, revision = path.removeprefix("/api/").removeprefix("models/").partition("/revision/")
        folder, commit = self._at(repo, revision)
        if not folder.is_dir():
            return self._missing("RepoNotFound" if not revision else "RevisionNotFound")
        files = [file for file in folder.rglob("*") if file.is_file()]
        names = [file.relative_to(folder).as_posix() for file in files]
        siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in zip(names, files, strict=True)]
        name = repo.removeprefix("datasets/")
        return self._json({"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": []})

    def _at(self, repo: str, revision: str) -> tuple[Path, str]:
        """The folder of a repository at a revision, and its commit; a folder that is not there where there is none."""
        newest = self.folder / f"{repo}.commit"
        commit = newest.read_text() if newest.exists() else COMMIT
        known = revision in ("", "main", commit) or len(revision) != 40
        return (self.folder / repo, commit) if known else (self.folder / f"{repo}@{revision}", revision)

    do_HEAD = do_GET

    def _file(self, file: Path) -> None:
        if not file.is_file():
            return self._missing()
        content, fault = file.read_bytes(), "whole"
        if asked := self.headers.get("Range"):
            fault = self.faults.pop(0) if self.faults else fault
            first, last = map(int, asked.removeprefix("bytes=").split("-"))
            content = content[first : last + 1]
        self.send_response(503 if fault == "busy" else 206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
        return None

    def _missing(self, code: str = "RepoNotFound") -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _path(self) -> str:
        path = unquote(urlparse(self.path).path)
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        self.seen.append(f"{self.command} {path} {asked}".rstrip())  # at once: others are asked at the same time
        return path

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub_over(folder: Path, faults: list[str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub over `folder`, and the requests it has seen."""
    seen: list[str] = []
    bound = {"folder": folder, "seen": seen, "faults": faults if faults is not None else []}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), bound))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
