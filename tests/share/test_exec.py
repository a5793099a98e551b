"""The recipes for the exec hook, each run as the hook runs it, against a server of the kind it speaks to."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from xmlrpc.server import SimpleXMLRPCServer

import pytest
from support.event import list_event, suspect

import pcifma
from pcifma.event.line import encode

RECIPES = Path(pcifma.__file__).parent / "share/exec"


def event(**changes: Any) -> bytes:
    plain = {"code": "PCIEX-8000-0A", "severity": "Critical", "urgency": "now", "fault_list": [suspect()]}
    return encode(list_event(**{**plain, **changes}))


def run(recipe: str, *arguments: object, data: bytes) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(RECIPES / recipe), *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
    return subprocess.run(
        command, input=data.decode(), capture_output=True, text=True, check=False, timeout=60, env=environment, cwd="/"
    )


@pytest.fixture
def http() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], Any]]]]:
    """An HTTP server's address, and what it was asked."""
    asked: list[tuple[str, str, dict[str, str], Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.command, self.path, dict(self.headers), json.loads(body)))
            self.send_response(200)
            self.end_headers()

        do_POST = do_PATCH = _take

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server.serve_forever, server.shutdown):
        yield f"http://127.0.0.1:{server.server_port}", asked
    server.server_close()


class serving:
    """Run *serve* in a thread; *stop* ends it."""

    def __init__(self, serve: Callable[[], object], stop: Callable[[], object]) -> None:
        self._thread, self._stop = threading.Thread(target=serve, daemon=True), stop

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join(30)


def test_every_recipe_is_a_program_of_the_packages_own_interpreter() -> None:
    recipes = sorted(RECIPES.iterdir())
    assert [path.name for path in recipes] == ["mail", "node-condition", "webhook", "xapi"]
    for path in recipes:
        assert path.read_text(encoding="utf-8").startswith("#!/opt/pcifma/bin/python3 -I\n")
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_webhook_posts_a_line_that_a_pager_shows(http: tuple[str, list[Any]]) -> None:
    url, asked = http
    assert run("webhook", f"{url}/hook", data=event()).returncode == 0
    assert run("webhook", f"{url}/hook", data=event(class_="list.repaired", injected=True)).returncode == 0
    assert run("webhook", f"{url}/hook", data=event(class_="list.updated")).returncode == 0
    assert [(how, path) for how, path, _, _ in asked] == [("POST", "/hook")] * 2
    assert asked[0][3]["text"] == "node-1: Critical PCIEX-8000-0A diagnosed, 100% Slot 3 0000:04:00.0, now"
    assert asked[0][3]["event"]["class"] == "list.suspect"
    assert asked[1][3]["text"].startswith("DRILL, nothing is wrong: node-1: Critical PCIEX-8000-0A repaired")


def test_webhook_that_nobody_answers_fails_and_says_so() -> None:
    done = run("webhook", "http://127.0.0.1:9/", data=event())
    assert done.returncode == 1
    assert "refused" in done.stderr


def test_mail_goes_to_root_by_smtp() -> None:
    said: list[str] = []
    ready = threading.Event()
    port: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        body = False
        while line := (await reader.readline()).decode():
            said.append(line.rstrip("\r\n"))
            if body:
                body = line != ".\r\n"
                writer.write(b"" if body else b"250 taken\r\n")
                continue
            body = line.upper().startswith("DATA")
            writer.write(b"354 go on\r\n" if body else b"221 bye\r\n" if line.upper().startswith("QUIT") else b"250 ok\r\n")
            if line.upper().startswith("QUIT"):
                break
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await stopped.wait()

    stopped = asyncio.Event()
    loop = asyncio.new_event_loop()
    with serving(lambda: loop.run_until_complete(serve()), lambda: loop.call_soon_threadsafe(stopped.set)):
        assert ready.wait(30)
        done = run("mail", "root", f"127.0.0.1:{port[0]}", data=event())
        assert (done.returncode, done.stderr) == (0, "")
    loop.close()
    assert "rcpt TO:<root>" in said
    assert "Subject: node-1: Critical PCIEX-8000-0A diagnosed" in said
    assert "100%  fault.io.pciex.device-interr  0000:04:00.0  Slot 3  faulty" in said


def test_xapi_gets_a_message_of_the_host(tmp_path: Path) -> None:
    calls: list[tuple[str, tuple[object, ...]]] = []

    class Xapi:
        def _dispatch(self, method: str, params: tuple[object, ...]) -> object:
            calls.append((method, params))
            return {"Status": "Success", "Value": "OpaqueRef:session"}

    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
    server.register_instance(Xapi())
    (tmp_path / "xapi.json").write_text(
        json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}", "user": "u", "password": "p", "host": "h-uuid"})
    )
    with serving(server.serve_forever, server.shutdown):
        done = run("xapi", tmp_path / "xapi.json", data=event())
        assert (done.returncode, done.stderr) == (0, "")
    server.server_close()
    assert [method for method, _ in calls] == ["session.login_with_password", "message.create", "session.logout"]
    session, name, priority, kind, host, body = calls[1][1]
    assert (session, name, priority, kind, host) == ("OpaqueRef:session", "PCIFMA_DIAGNOSED_PCIEX-8000-0A", "1", "Host", "h-uuid")
    assert str(body).startswith("100% fault.io.pciex.device-interr 0000:04:00.0 Slot 3\n")


def test_node_condition_is_patched_and_a_drill_leaves_it(http: tuple[str, list[Any]], tmp_path: Path) -> None:
    api, asked = http
    for name, text in (("node", "node-7\n"), ("token", "secret"), ("ca.crt", "")):
        (tmp_path / name).write_text(text)
    assert run("node-condition", api, tmp_path, data=event(injected=True)).returncode == 0
    assert asked == []
    done = run("node-condition", api, tmp_path, data=event())
    assert (done.returncode, done.stderr) == (0, "")
    ((how, path, headers, body),) = asked
    assert (how, path, headers["Authorization"]) == ("PATCH", "/api/v1/nodes/node-7/status", "Bearer secret")
    assert headers["Content-Type"] == "application/strategic-merge-patch+json"
    (condition,) = body["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PCIeFault", "True", "PCIEX_8000_0A")
