"""A Hub on the loopback: repositories, branches, commits, LFS and tokens in memory, spoken to over HTTP, with faults on demand.

It answers what the real client asks for when it makes repositories, publishes and fetches. What it leaves out: pull requests,
tags, gated repositories, Xet (`HF_HUB_DISABLE_XET=1`), uploads in parts.
"""

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LFS_ENDINGS = (".safetensors", ".arrow", ".parquet", ".mp4", ".mkv", ".npz")
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
INVALID = "Invalid credentials in Authorization header"


@dataclass(frozen=True)
class Account:
    """Who a token belongs to, and whether it may write."""

    name: str
    write: bool = True


@dataclass(frozen=True)
class Blob:
    """A file of a commit."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """Git's name of it: of an LFS file that of its pointer."""
        content = self.content
        if self.lfs:
            head = "version https://git-lfs.github.com/spec/v1"
            content = f"{head}\noid sha256:{self.sha256}\nsize {len(content)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass
class Repo:
    """commits: name -> files, never changed once made. branches: name -> commit."""

    private: bool
    commits: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)

    def commit(self, branch: str, tree: dict, message: str) -> str:
        oid = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
        self.commits[oid] = dict(tree)
        self.branches[branch] = oid
        self.messages.append(message)
        return oid

    def resolve(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of that method whose path matches.

    kind: a status as `500`; `cut` the connection before the request is looked at; `lost` after it was carried out; `cut_body` in
    the middle of the answer; `slow` no answer for `seconds`; `checksum` a byte of the body, sent or received, is another; `say` the
    answer is `body` with `headers`; `endless` it is `body` over and over, as long as somebody listens, and `sent` counts it.
    """

    kind: str
    method: str
    path: str
    times: int = 1
    seconds: float = 7.0
    seen: int = 0
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    sent: int = 0

    def hits(self, method: str, path: str) -> bool:
        if self.seen >= self.times or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return True


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class HubServer:
    """`with HubServer() as hub:` serves at `hub.url`. tokens: token -> Account. log: (method, path, status) of each request."""

    def __init__(self):
        self.tokens = {"hf_writer": Account("someone"), "hf_reader": Account("reader", write=False)}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str, int]] = []
        self.lock = threading.RLock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()

    def environment(self, home, token: str | None = "hf_writer") -> dict[str, str]:
        """What a process needs to have this Hub for its only one, and `home` for its caches."""
        found = {
            "HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": token or "", "HF_HUB_DOWNLOAD_TIMEOUT": "5", "HF_HUB_ETAG_TIMEOUT": "5",
            "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
        }  # fmt: skip
        return found

    def tree(self, repo: str, kind: str = "model", revision: str = "main") -> dict[str, bytes] | None:
        """Files of a revision; None where there is no repository."""
        with self.lock:
            found = self.repos.get((kind, repo))
            if found is None:
                return None
            return {path: blob.content for path, blob in found.commits[found.resolve(revision)].items()}

    def head(self, repo: str, kind: str = "model", branch: str = "main") -> str | None:
        found = self.repos.get((kind, repo))
        return found.branches.get(branch) if found else None

    def make(self, repo: str, files: dict[str, bytes], kind: str = "model", private: bool = False) -> str:
        """A repository with one commit, as if somebody had published it."""
        made = self.repos.setdefault((kind, repo), Repo(private))
        return made.commit(
            "main", {path: Blob(content, is_large(path, content)) for path, content in files.items()}, "made"
        )


def is_large(path: str, content: bytes) -> bool:
    return path.endswith(LFS_ENDINGS) or len(content) > 10_000_000


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: HubServer
    # method and path -> what is done
    ROUTES = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", rf"/api/(?P<kind>model|dataset|space)s/{REPO}/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", rf"/api/(?P<kind>model|dataset|space)s/{REPO}/commit/(?P<revision>[^/]+)", "commit"),
        ("POST", rf"/api/(?P<kind>model|dataset|space)s/{REPO}/branch/(?P<revision>[^/]+)", "branch"),
        ("POST", rf"/api/(?P<kind>model|dataset|space)s/{REPO}/paths-info/(?P<revision>[^/]+)", "paths_info"),
        (
            "GET",
            rf"/api/(?P<kind>model|dataset|space)s/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?",
            "list_tree",
        ),
        ("GET", rf"/api/(?P<kind>model|dataset|space)s/{REPO}/refs", "refs"),
        ("GET", rf"/api/(?P<kind>model|dataset|space)s/{REPO}(?:/revision/(?P<revision>[^/]+))?", "info"),
        ("POST", rf"/(?:(?P<kind>dataset|space)s/)?{REPO}\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/large/(?P<oid>[0-9a-f]{64})", "put_large"),
        ("POST", r"/large/(?P<oid>[0-9a-f]{64})/verify", "verify_large"),
        ("(GET|HEAD)", rf"/(?:(?P<kind>dataset|space)s/)?{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    )

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  the names that the library calls

    def serve(self) -> None:
        """Carries a request out, or the fault that waits for it."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            parts = urlsplit(self.path)
            path = unquote(parts.path) if "/resolve/" in parts.path else parts.path
            self.query = parse_qs(parts.query)
            with self.hub.lock:
                self.fault = next((fault for fault in self.hub.faults if fault.hits(self.command, path)), None)
            kind = self.fault.kind if self.fault else ""
            if kind == "cut":
                return self.cut(path)
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if kind == "slow":
                time.sleep(self.fault.seconds)
            if kind == "checksum" and self.body:
                self.body = spoil(self.body)
            if kind == "say":
                return self.answer(self.fault.body, **self.fault.headers)
            if kind == "endless":
                return self.answer_without_end()
            try:
                if kind.isdigit():
                    raise Refused(int(kind), f"fault {kind}")
                self.route(path)
            except Refused as error:
                self.answer_error(path, error)

    def route(self, path: str) -> None:
        for method, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, path) if re.fullmatch(method, self.command) else None
            if match:
                given = {key: unquote(value) if value else value for key, value in match.groupdict().items()}
                if "repo" in given:
                    given["kind"] = given["kind"] or "model"
                return getattr(self, name)(**given)
        raise Refused(404, f"no such endpoint: {self.command} {path}")

    # answers

    def cut(self, path: str) -> None:
        self.hub.log.append((self.command, path, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> None:
        """Sends the answer, if no fault keeps it."""
        fault = self.fault.kind if self.fault else ""
        if fault == "lost":
            return self.cut(self.path)
        if fault == "checksum" and self.command == "GET":
            body = spoil(body)
        self.hub.log.append((self.command, urlsplit(self.path).path, status))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut_body":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            return self.cut(self.path)
        self.wfile.write(body)

    def answer_without_end(self) -> None:
        """Ends when the other side does."""
        self.hub.log.append((self.command, urlsplit(self.path).path, 200))
        self.close_connection = True
        self.send_response(200)
        for name, value in {"Content-Type": "application/json", **self.fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        while True:
            self.wfile.write(self.fault.body)
            self.fault.sent += len(self.fault.body)

    def answer_json(self, found, status: int = 200) -> None:
        self.answer(json.dumps(found).encode(), status=status)

    def answer_error(self, path: str, error: Refused) -> None:
        self.fault = None
        headers = {"X_Error_Message": error.message}
        if error.code:
            headers["X_Error_Code"] = error.code
        body = b"" if self.command == "HEAD" else json.dumps({"error": error.message}).encode()
        if error.status == 429:
            headers["Retry_After"] = "0"
        self.answer(body, status=error.status, **headers)

    # who asks, and for what

    def account(self) -> Account | None:
        found = self.headers.get("Authorization")
        if not found:
            return None
        account = self.hub.tokens.get(found.removeprefix("Bearer "))
        if account is None:
            raise Refused(401, INVALID)
        return account

    def find(self, kind: str, repo: str, write: bool = False) -> Repo:
        """The repository, if the token may see it; with write, if it may write there."""
        account, found = self.account(), self.hub.repos.get((kind, repo))
        owner = account is not None and account.name == repo.split("/")[0]
        if found is None or (found.private and not owner):
            raise Refused(404 if account else 401, "Repository not found", "RepoNotFound")
        if write and account is None:
            raise Refused(401, INVALID)
        if write and not (owner and account.write):
            raise Refused(403, f"You don't have the rights to write to {repo}")
        return found

    def files(self, kind: str, repo: str, revision: str | None) -> tuple[str, dict[str, Blob]]:
        found = self.find(kind, repo)
        oid = found.resolve(revision or "main")
        if oid is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid, found.commits[oid]

    # endpoints

    def whoami(self) -> None:
        account = self.account()
        if account is None:
            raise Refused(401, INVALID)
        self.answer_json({"type": "user", "name": account.name, "orgs": []})

    def validate(self) -> None:
        import yaml

        content = json.loads(self.body)["content"]
        match = re.match(r"---\n(.*?)\n---", content, re.S)
        errors = [] if match else [{"message": "no metadata"}]
        try:
            found = yaml.safe_load(match.group(1)) if match else {}
            for model in found.get("model-index", []):
                for result in model["results"]:
                    assert result["task"]["type"] and result["dataset"]["type"] and result["dataset"]["name"]
                    assert all(
                        isinstance(metric["value"], (int, float)) and metric["type"] for metric in result["metrics"]
                    )
        except Exception as error:
            errors.append({"message": f"{type(error).__name__}: {error}"})
        self.answer_json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self) -> None:
        account, asked = self.account(), json.loads(self.body)
        if account is None:
            raise Refused(401, INVALID)
        owner = asked.get("organization") or account.name
        if owner != account.name or not account.write:
            raise Refused(403, f"You don't have the rights to create a repo under {owner}")
        key = (asked.get("type") or "model", f"{owner}/{asked['name']}")
        with self.hub.lock:
            if key in self.hub.repos:
                raise Refused(409, "You already created this repo")
            repo = self.hub.repos[key] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
            repo.commit("main", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", False)}, "initial commit")
        self.answer_json({"url": f"{self.hub.url}/{key[1]}", "name": key[1]})

    def branch(self, kind: str, repo: str, revision: str) -> None:
        found = self.find(kind, repo, write=True)
        with self.hub.lock:
            if revision in found.branches:
                raise Refused(409, "Reference already exists")
            found.branches[revision] = found.resolve(json.loads(self.body or b"{}").get("startingPoint") or "main")
        self.answer_json({})

    def refs(self, kind: str, repo: str) -> None:
        found = self.find(kind, repo)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in found.branches.items()]
        self.answer_json({"branches": branches, "converts": [], "tags": []})

    def info(self, kind: str, repo: str, revision: str | None = None) -> None:
        oid, files = self.files(kind, repo, revision)
        card = files.get("README.md")
        tags = dict(re.findall(r"^(pipeline_tag|library_name): (\S+)$", card.content.decode(), re.M)) if card else {}
        self.answer_json({
            "id": repo, "modelId": repo, "sha": oid, "private": self.hub.repos[kind, repo].private, "gated": False,
            "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": [{"rfilename": path} for path in files],
            **tags,
        })  # fmt: skip

    def list_tree(self, kind: str, repo: str, revision: str, path: str | None = None) -> None:
        _, files = self.files(kind, repo, revision)
        prefix = f"{path.rstrip('/')}/" if path else ""
        inside = {name: blob for name, blob in files.items() if name.startswith(prefix)}
        if prefix and not inside:
            raise Refused(404, "Entry not found", "EntryNotFound")
        deep = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries, folders = [], {}
        for name, blob in inside.items():
            parents = name[len(prefix) :].split("/")[:-1]
            for depth in range(1, len(parents) + 1 if deep else min(len(parents), 1) + 1):
                folders[prefix + "/".join(parents[:depth])] = True
            if deep or not parents:
                entries.append(entry(name, blob))
        listed = [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders]
        self.answer_json(listed + entries)

    def paths_info(self, kind: str, repo: str, revision: str) -> None:
        _, files = self.files(kind, repo, revision)
        text = self.body.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        found = []
        for path in asked:
            if path in files:
                found.append(entry(path, files[path]))
            elif any(name.startswith(f"{path.rstrip('/')}/") for name in files):
                found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        self.answer_json(found)

    def preupload(self, kind: str, repo: str, revision: str) -> None:
        found = self.find(kind, repo, write=True)
        oid = found.resolve(revision)
        if oid is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        there, answers = found.commits[oid], []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            large = path.endswith(LFS_ENDINGS) or file["size"] > 10_000_000
            answers.append({
                "path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False,
                "oid": there[path].etag if path in there else None,
            })  # fmt: skip
        self.answer_json({"files": answers})

    def batch(self, kind: str, repo: str) -> None:
        self.find(kind, repo, write=True)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            found = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large:
                href = f"{self.hub.url}/large/{wanted['oid']}"
                found["actions"] = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            objects.append(found)
        self.answer_json({"transfer": "basic", "objects": objects})

    def put_large(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, "the content is not that of its SHA-256")
        with self.hub.lock:
            self.hub.large[oid] = self.body
        self.answer(b"")

    def verify_large(self, oid: str) -> None:
        if self.account() is None:
            raise Refused(401, INVALID)
        if len(self.hub.large.get(oid, b"")) != json.loads(self.body)["size"]:
            raise Refused(400, "no such large file")
        self.answer_json({})

    def commit(self, kind: str, repo: str, revision: str) -> None:
        found = self.find(kind, repo, write=True)
        operations = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        with self.hub.lock:
            head = found.branches.get(revision)
            if head is None:
                raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            header = next(item["value"] for item in operations if item["key"] == "header")
            if header.get("parentCommit") not in (None, head):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            tree = dict(found.commits[head])
            for operation in operations:
                self.apply(tree, operation["key"], operation["value"])
            oid = found.commit(revision, tree, header["summary"])
        self.answer_json({"commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "success": True})

    def apply(self, tree: dict[str, Blob], key: str, value: dict) -> None:
        """One line of a commit, on a tree that is thrown away if a later line is refused."""
        if key == "file":
            tree[value["path"]] = Blob(base64.b64decode(value["content"]), False)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.large:
                raise Refused(400, f"{value['path']} was not uploaded")
            tree[value["path"]] = Blob(self.hub.large[value["oid"]], True)
        elif key == "deletedFile":
            if tree.pop(value["path"], None) is None:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        elif key != "header":
            raise Refused(400, f"unknown line {key}")

    def resolve(self, kind: str, repo: str, revision: str, path: str) -> None:
        oid, files = self.files(kind, repo, revision)
        if path not in files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        content, headers = files[path].content, {"ETag": f'"{files[path].etag}"', "X_Repo_Commit": oid}
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if match and self.command == "GET":
            first, last = int(match.group(1)), int(match.group(2) or len(content) - 1)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.answer(content[first : last + 1], "application/octet-stream", 206, **headers)
        self.answer(content, "application/octet-stream", **headers)


def entry(path: str, blob: Blob) -> dict:
    found = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content)}
    if blob.lfs:
        found["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": 130}
    return found


def spoil(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body
