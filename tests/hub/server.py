"""The few endpoints of the Hugging Face hub that publishing and fetching a model use, over a folder on this machine."""

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
    """Repositories are `folder/user/name`; one revision each."""

    folder: Path
    seen: list[str]

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
            return self._file(self.folder / repo / rest.partition("/")[2])
        repo = path.removeprefix("/api/models/").partition("/revision/")[0]
        if not (self.folder / repo).is_dir():
            return self._missing()
        files = [file for file in (self.folder / repo).rglob("*") if file.is_file()]
        names = [file.relative_to(self.folder / repo).as_posix() for file in files]
        siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in zip(names, files, strict=True)]
        return self._json({"id": repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})

    do_HEAD = do_GET

    def _file(self, file: Path) -> None:
        if not file.is_file():
            return self._missing()
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    def _missing(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
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
        self.seen.append(f"{self.command} {path}")
        return path

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub_over(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub over `folder`, and the requests it has seen."""
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"folder": folder, "seen": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
