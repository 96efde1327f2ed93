"""A scripted API server on loopback, and a kubeconfig for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.objects import Object

NAMESPACE = "/apis/milvustuning.io/v1alpha1/namespaces/milvus"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class ApiServer:
    """Answers by path; remembers what was patched. An answer is a body, or a code with a body."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {REVIEW: {"status": {"userInfo": {"username": "jane"}}}}
        self.patches: list[Object] = []
        self.patched: list[str] = []
        self.conflicts = 0
        self.later: dict[str, Any] = {}
        """Answers from the first conflict on."""

    def holds(self, policies: list[Object], plans: list[Object]) -> None:
        """Serve these objects."""
        for plural, objects in (("milvustunings", policies), ("milvustuningplans", plans)):
            self.answers[f"{NAMESPACE}/{plural}"] = {"items": objects}
            self.answers |= {f"{NAMESPACE}/{plural}/{body['metadata']['name']}": body for body in objects}

    def answer(self, method: str, path: str, body: Object) -> tuple[int, Any]:
        """The code and the body of an answer."""
        found = self.answers.get(path, (404, {"message": f"{path} not found"}))
        code, answer = found if isinstance(found, tuple) else (200, found)
        if method != "PATCH" or code != 200:
            return code, answer
        if self.conflicts > 0:
            self.conflicts -= 1
            self.answers |= self.later
            return 409, {"message": "the object has been modified"}
        self.patches.append(body)
        self.patched.append(path)
        return 200, answer | {"spec": answer["spec"] | body["spec"]}


@pytest.fixture
def server() -> Iterator[tuple[ApiServer, str]]:
    api = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            code, answer = api.answer(self.command, self.path.partition("?")[0], body)
            payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test's own output is what counts."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield api, f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def api(server: tuple[ApiServer, str]) -> ApiServer:
    return server[0]


@pytest.fixture
def kubeconfig(server: tuple[ApiServer, str], tmp_path: Path) -> Path:
    """Its current context is in namespace elsewhere, the context `work` in namespace milvus."""
    path = tmp_path / "config"
    contexts = {"home": "elsewhere", "work": "milvus"}
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "home",
                "clusters": [{"name": "c", "cluster": {"server": server[1]}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [
                    {"name": name, "context": {"cluster": "c", "user": "u", "namespace": namespace}}
                    for name, namespace in contexts.items()
                ],
            }
        )
    )
    return path


@pytest.fixture
def here(kubeconfig: Path) -> list[str]:
    return ["--kubeconfig", str(kubeconfig), "--context", "work"]
