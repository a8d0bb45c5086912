"""A real S3 server in a process of its own, and a proxy in front of it that fails as networks and servers do."""

import http.client
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message><RequestId>r</RequestId></Error>"
CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}


class Fault(StrEnum):
    """What happens to a request instead of its answer."""

    ERROR_500 = "500"
    ERROR_503 = "503"
    ERROR_403 = "403"
    RESET = "reset"
    """The connection is reset before the server sees anything."""
    RESET_AFTER = "reset after"
    """The server does what it is asked, but its answer is lost."""
    CUT_ANSWER = "cut answer"
    """The answer's body ends half way."""
    CUT_UPLOAD = "cut upload"
    """The server gets half of the request's body, then the connection ends."""
    HOLD = "hold"
    """Half of the request's body reaches the server (of a GET: half of the answer the client), and no more comes."""


@dataclass
class Rule:
    """Which requests fail how."""

    fault: Fault
    """What happens."""
    method: str
    """GET, PUT, ..."""
    part: str
    """What the path and query hold."""
    times: int
    """How many requests fail."""
    passed: int
    """How many are let through before."""
    met: threading.Event = field(default_factory=threading.Event)
    """Set once a request has failed so."""


class FaultyProxy:
    """Passes requests on to an S3 server, but for those that a rule fails; counts them all."""

    def __init__(self, upstream: str) -> None:
        self.latency = 0.0
        self.requests: list[str] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._let_go = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, upstream))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def fail(self, fault: Fault, method: str, part: str, times: int = 1, passed: int = 0) -> Rule:
        """From now on `times` such requests fail, after the next `passed` ones."""
        rule = Rule(fault, method, part, times, passed)
        with self._lock:
            self._rules.append(rule)
        return rule

    def seen(self, method: str, part: str) -> int:
        """Requests of that kind so far."""
        return sum(line.startswith(f"{method} ") and part in line for line in self.requests)

    def close(self) -> None:
        """Lets go of everything and ends."""
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, seconds: float | None = None) -> None:
        """Latency, or a hold; ends early when the proxy is closed."""
        self._let_go.wait(seconds)

    def fault_of(self, method: str, path: str) -> Fault | None:
        """What is to happen to this request."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            for rule in self._rules:
                if not rule.times or rule.method != method or rule.part not in path:
                    continue
                if rule.passed:
                    rule.passed -= 1
                else:
                    rule.times -= 1
                    rule.met.set()
                    return rule.fault
        return None


def _handler(proxy: FaultyProxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def handle(self) -> None:
            """A client that was killed has not done wrong."""
            try:
                super().handle()
            except OSError:
                self.close_connection = True

        def pass_on(self) -> None:
            """One request, failed or answered."""
            if proxy.latency:
                proxy.wait(proxy.latency)
            fault = proxy.fault_of(self.command, self.path)
            body = self._body()
            if fault is Fault.RESET:
                self._reset()
            elif fault in (Fault.CUT_UPLOAD, Fault.HOLD) and self.command != "GET":
                self._send_half(body, hold=fault is Fault.HOLD)
            elif fault in (Fault.ERROR_500, Fault.ERROR_503, Fault.ERROR_403):
                content = ERROR.format(code=CODES[int(fault)]).encode()
                self._answer(int(fault), [("Content-Type", "application/xml")], content)
            else:
                self._forward(body, fault)

        def _body(self) -> bytes:
            """The request's body, out of its chunks where it comes in chunks."""
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                continue
            return b"".join(chunks)

        def _forward(self, body: bytes, fault: Fault | None) -> None:
            connection = http.client.HTTPConnection(upstream)
            connection.request(self.command, self.path, body, self._headers())
            answer = connection.getresponse()
            content = answer.read()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS]
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            connection.close()
            if fault is Fault.RESET_AFTER:
                self._reset()
            elif fault in (Fault.CUT_ANSWER, Fault.HOLD):
                self._answer(answer.status, headers, content[: len(content) // 2], length)
                if fault is Fault.HOLD:
                    proxy.wait()
                self._reset()
            else:
                self._answer(answer.status, headers, content, length)

        def _send_half(self, body: bytes, hold: bool) -> None:
            """A head that promises the whole body, and half of it; the server's answer is not waited for."""
            host, port = upstream.split(":")
            with socket.create_connection((host, int(port))) as server:
                lines = [f"{self.command} {self.path} HTTP/1.1"]
                lines += [f"{name}: {value}" for name, value in self._headers().items()]
                head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
                server.sendall(head.encode() + body[: len(body) // 2])
                if hold:
                    proxy.wait()
            self._reset()

        def _headers(self) -> dict[str, str]:
            dropped = (*HOP_HEADERS, "expect")
            return {name: value for name, value in self.headers.items() if name.lower() not in dropped}

        def _answer(
            self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815  the base class's names

    return Handler


HOP_HEADERS = ("connection", "content-length", "transfer-encoding", "keep-alive", "server", "date")


@contextmanager
def running_s3() -> Iterator[str]:
    """host:port of moto's S3 server, started in a process of its own on loopback."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            lines = []
            while "Running on http://" not in "".join(lines):
                line = server.stdout.readline()
                assert line, f"the S3 server ended: {''.join(lines)}"
                lines.append(line)
            threading.Thread(target=server.stdout.read, daemon=True).start()
            yield lines[-1].rsplit("http://", 1)[1].split()[0]
        finally:
            server.kill()
