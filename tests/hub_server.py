"""A Hub on this computer: the routes of huggingface.co that the real client uses, for models.

It keeps every commit, logs every request, and can be told to fail. As on the Hub, large kinds of files are in
LFS (their etag is a SHA-256), others in git (their etag is a git SHA-1).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS = (".onnx", ".safetensors", ".npz")
ORG, NAME = "me", "tiny"
TOKEN = "hf_right"


@dataclass
class Repo:
    """A repository. ``refs`` names a commit by branch or tag; ``commits`` are {file: bytes}."""

    private: bool = False
    gated: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], *refs: str) -> str:
        """Add a commit that consists of these files; branches (and tags) then point to it."""
        content = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        oid = hashlib.sha1(json.dumps([len(self.commits), content]).encode()).hexdigest()
        self.commits[oid] = dict(files)
        self.refs |= dict.fromkeys(refs or ("main",), oid)
        return oid

    def tag(self, name: str, commit: str) -> None:
        self.refs[name] = commit
        self.tags.add(name)

    def resolve(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    token: str | None


class Hub:
    """The server's state, which a test reads and changes.

    Attributes:
        repos: by ``org/name``.
        requests: all that came, in order.
        status: answer everything with this HTTP status.
        cut: file -> how many bytes of it the next download gets before the connection is closed.
        served: file -> bytes to send in place of its own, under its own hash: a disc or a proxy that lies.
        sizes: file -> the size to claim.
        url: where it listens.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.status: int | None = None
        self.cut: dict[str, int] = {}
        self.served: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}
        self.url = ""

    def repo(self, name: str = f"{ORG}/{NAME}") -> Repo:
        return self.repos.setdefault(name, Repo())

    def downloads(self) -> list[str]:
        """Names of the files that were sent, once per request."""
        return [
            r.path.rpartition("/")[2] for r in self.requests if r.method == "GET" and "/resolve/" in r.path
        ]


def etag_of(name: str, data: bytes) -> str:
    if name.endswith(LFS):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve on a free port of this computer."""
    hub = Hub()
    handler = type("BoundHandler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PUT(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        if path == "/api/agent-harnesses":  # of the client's own, once a day; no part of what is tested
            return self._refuse(404)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Range"), token))
        if self.hub.status:
            return self._refuse(self.hub.status)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(.+)/([^/]+)", path):
            if repo := self._repo(found[1], token):
                self._file(repo, found[2], found[3])
            return None
        if path == "/api/models":
            author = parse_qs(url.query).get("author", [""])[0]
            names = [n for n, r in self.hub.repos.items() if n.startswith(f"{author}/") and not r.private]
            return self._json([{"id": name, "modelId": name} for name in names])
        if path == "/api/repos/create":
            return self._create(json.loads(body), token)
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            if hashlib.sha256(body).hexdigest() != found[1]:
                return self._refuse(400)
            self.hub.uploads[found[1]] = body
            return self._json({})
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body), token)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(\w+)(?:/(.+))?)?", path):
            if repo := self._repo(found[1], token, write=self.command == "POST"):
                self._api(repo, found[1], found[2] or "revision", found[3] or "main", body)
            return None
        return self._refuse(404)

    def _repo(self, name: str, token: str | None, write: bool = False) -> Repo | None:
        """The repository, if it may be read (or written) with this token."""
        repo = self.hub.repos.get(name)
        if token not in (None, TOKEN):
            self._refuse(401, message="Invalid credentials in Authorization header")
        elif repo is None or (token is None and (repo.private or write)):
            self._refuse(401 if token is None else 404, "RepoNotFound", "Repository not found")
        elif repo.gated and "/api/" not in self.path:
            self._refuse(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted")
        else:
            return repo
        return None

    def _file(self, repo: Repo, revision: str, name: str) -> None:
        oid = repo.resolve(revision)
        if oid is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        headers = {"X-Repo-Commit": oid}
        if name not in repo.commits[oid]:
            return self._refuse(404, "EntryNotFound", "Entry not found", headers)
        data = repo.commits[oid][name]
        headers["ETag"] = f'"{etag_of(name, data)}"'
        size = self.hub.sizes.get(name, len(data))
        data = self.hub.served.get(name, data)
        status, start = 200, 0
        if (wanted := self.headers.get("Range")) and self.command == "GET":
            status, start = 206, int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        rest = data[start:]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(size if self.command == "HEAD" else len(rest)))
        self.end_headers()
        if self.command == "GET":
            if name in self.hub.cut:
                rest = rest[: self.hub.cut.pop(name)]
                self.close_connection = True  # too early: the client sees a broken transfer
            self.wfile.write(rest)
        return None

    def _create(self, wanted: dict[str, Any], token: str | None) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if token != TOKEN:
            return self._refuse(401, message="Invalid username or password.")
        if wanted["organization"] != ORG:
            return self._refuse(403, message="You don't have the rights to create a model here")
        if name in self.hub.repos:
            return self._refuse(409, message="You already created this model repo")
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.hub.repos[name] = Repo(private=private)
        self.hub.repos[name].commit({".gitattributes": b"*.onnx filter=lfs\n"})
        return self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": "1"})

    def _batch(self, wanted: dict[str, Any], token: str | None) -> None:
        if token != TOKEN:
            return self._refuse(401)
        objects = [
            each
            if each["oid"] in self.hub.uploads
            else each | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            for each in wanted["objects"]
        ]
        return self._json({"transfer": "basic", "objects": objects})

    def _api(self, repo: Repo, name: str, verb: str, rest: str, body: bytes) -> None:
        oid = repo.resolve(rest.partition("?")[0])
        if verb == "refs":
            kinds: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": []}
            for ref, commit in repo.refs.items():
                kind = "tags" if ref in repo.tags else "branches"
                kinds[kind].append({"name": ref, "ref": f"refs/{ref}", "targetCommit": commit})
            return self._json(kinds)
        if verb == "branch":
            if rest in repo.refs:
                return self._refuse(409, message="Branch exists")
            repo.refs[rest] = repo.refs[json.loads(body).get("startingPoint", "main")]
            return self._json({})
        if oid is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {rest}")
        files = repo.commits[oid]
        if verb == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self._json({"id": name, "sha": oid, "private": repo.private, "siblings": siblings})
        if verb == "tree":
            return self._json(
                [{"type": "file", "path": f, "size": len(d), "oid": etag_of(f, d)} for f, d in files.items()]
            )
        if verb == "preupload":
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LFS) else "regular",
                    "shouldIgnore": False,
                    "oid": etag_of(each["path"], files[each["path"]]) if each["path"] in files else None,
                }
                for each in json.loads(body)["files"]
            ]
            return self._json({"files": modes})
        if verb == "commit":
            return self._commit(repo, name, rest, dict(files), body)
        if verb == "tag":
            tag = json.loads(body)["tag"]
            if tag in repo.refs:
                return self._refuse(409, message="Tag exists")
            repo.tag(tag, oid)
            return self._json({})
        return self._refuse(404)

    def _commit(self, repo: Repo, name: str, branch: str, files: dict[str, bytes], body: bytes) -> None:
        for line in body.splitlines():
            each = json.loads(line)
            value = each["value"]
            if each["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif each["key"] == "deletedFile":
                del files[value["path"]]
        oid = repo.commit(files, branch)
        return self._json(
            {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid, "success": True}
        )

    def _json(self, document: Any) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _refuse(
        self, status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None
    ) -> None:
        extra = {"X-Error-Code": code} if code else {}
        extra |= {"X-Error-Message": message} if message else {}
        self._send(status, b"{}", {**(headers or {}), **extra})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
