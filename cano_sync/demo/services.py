"""The world around the ad exchange: HTTP servers on loopback, each in a process of its own.

The exchange starts them with `running()`. One such process is

    python -P services.py NAME MODE PACE [NOTICE_URL]

which prints its port and serves until its standard input ends: when its parent closes it or,
however that comes about, has died. The file is run by itself, and needs no library, so that it
starts quickly; and without its own folder among those that modules come from (`-P`).
"""

__all__ = ("BIDDERS", "CONTEXT", "GROUPS", "MODES", "SERVICES", "Service", "running")

import contextlib
import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any


@dataclass(frozen=True, slots=True)
class Service:
    """What a service is for, and how many milliseconds after a question it answers."""

    role: str
    latency_ms: int


SERVICES = {
    "user": Service("context", 20),
    "geo": Service("context", 30),
    "device": Service("context", 50),
    "swift": Service("bidder", 45),
    "brisk": Service("bidder", 80),
    "steady": Service("bidder", 120),
    "tardy": Service("bidder", 290),
    "glacial": Service("bidder", 350),
    "quality": Service("quality", 10),
    "notice": Service("notice", 40),
}
CONTEXT = [name for name, service in SERVICES.items() if service.role == "context"]
BIDDERS = [name for name, service in SERVICES.items() if service.role == "bidder"]
GROUPS = {"context": CONTEXT, "bidders": BIDDERS}

MODES = {
    "ok": "answers as it should",
    "down": "refuses the connection",
    "garbage": "answers with a web page",
    "500": "answers with an internal server error",
    "hang": "takes the question and never answers",
}


@contextlib.contextmanager
def running(
    broken: Mapping[str, str],
    pace: float = 1.0,
    *,
    names: Collection[str] = tuple(SERVICES),
    notice_url: str = "",
) -> Iterator[dict[str, str]]:
    """Start services; the value is their URLs by name. Afterwards they are gone.

    Args:
        broken: modes, by name, of the services that are not "ok".
        pace: what all latencies are multiplied by.
        names: which to start.
        notice_url: where bidders want to be notified if "notice" is not among these.

    Raises:
        OSError: a service did not start; it has said why on stderr.
    """
    with contextlib.ExitStack() as stack:
        urls = _start(stack, [name for name in names if name not in BIDDERS], broken, pace)
        # A bidder has its own notice URL to put into its bids.
        notice_url = urls.get("notice", notice_url)
        bidders = [name for name in names if name in BIDDERS]
        yield urls | _start(stack, bidders, broken, pace, notice_url)


def _start(
    stack: contextlib.ExitStack,
    names: list[str],
    broken: Mapping[str, str],
    pace: float,
    *more: str,
) -> dict[str, str]:
    """Start these services at the same time."""
    processes = {}
    for name in names:
        command = [sys.executable, "-P", __file__, name, broken.get(name, "ok"), str(pace)]
        processes[name] = stack.enter_context(
            subprocess.Popen(
                [*command, *more],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C in the terminal is for the exchange alone
            )
        )
        stack.callback(processes[name].kill)
    urls = {}
    for name, process in processes.items():
        assert process.stdout is not None  # it is a pipe
        port = process.stdout.readline().strip()
        if not port:
            raise OSError(f"the service {name!r} did not start")
        urls[name] = f"http://127.0.0.1:{port}"
    return urls


# From here on: inside a service's process.

_KNOWN: dict[str, dict[str, Any]] = {
    "user": {"user": {"data": [{"name": "interests", "segment": [{"id": "skiing"}]}]}},
    "geo": {"device": {"geo": {"type": 2, "country": "CHE", "city": "Zurich", "utcoffset": 60}}},
    "device": {"device": {"devicetype": 4, "make": "Fairphone", "model": "5", "os": "Android"}},
}
"""What the context services know: pieces of a bid request."""

_FACTORS = ((50, 1.1), (100, 1.0), (150, 0.95))
"""What the quality service thinks of a bidder that answers within so many milliseconds."""


def _context(server: "_Server", question: dict[str, Any]) -> dict[str, Any]:
    return _KNOWN[server.name]


def _bid(server: "_Server", question: dict[str, Any]) -> dict[str, Any]:
    """A bid on the first impression. The slower the bidder, the more it has thought of."""
    name, latency_ms = server.name, server.service.latency_ms
    impression = question["imp"][0]
    bid = {
        "id": f"{name}-{question['id']}",
        "impid": impression["id"],
        "price": round(2.50 + latency_ms / 100, 2),
        "nurl": f"{server.notice_url}/win?bidder={name}"
        "&auction=${AUCTION_ID}&price=${AUCTION_PRICE}",
        "adm": f'<a href="https://{name}.example/"><img src="https://{name}.example/ad.png"></a>',
        "adomain": [f"{name}.example"],
        "cid": f"{name}-winter",
        "crid": f"{name}-winter-300x250",
        "mtype": 1,
        "w": 300,
        "h": 250,
    }
    return {
        "id": question["id"],
        "cur": "USD",
        "seatbid": [{"seat": name, "bid": [bid]}],
        "ext": {"latency_ms": latency_ms},
    }


def _quality(server: "_Server", question: dict[str, Any]) -> dict[str, Any]:
    latency_ms = question["latency_ms"]
    return {"factor": next((factor for limit, factor in _FACTORS if latency_ms <= limit), 0.9)}


def _notice(server: "_Server", question: dict[str, Any]) -> dict[str, Any]:
    return {}


_ROLES = {"context": _context, "bidder": _bid, "quality": _quality, "notice": _notice}


class _Handler(BaseHTTPRequestHandler):
    """One request, answered when its time has come."""

    wbufsize = -1  # the head and the body of an answer leave in one packet
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.arrived = time.monotonic()
        super().setup()

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(HTTPStatus.OK, b"{}")
        else:
            self._answer({})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        question = self.rfile.read(length)
        if len(question) < length:
            raise ConnectionAbortedError("hung up in the middle of the question")
        self._answer(json.loads(question))

    def _answer(self, question: dict[str, Any]) -> None:
        server = self.server
        assert isinstance(server, _Server)  # no other one has this for its handler
        status, body = HTTPStatus.OK, b"<html>We are moving house.</html>"
        if server.mode == "hang":
            threading.Event().wait()
        elif server.mode == "500":
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        elif server.mode == "ok":
            answer = _ROLES[server.service.role](server, question)
            body = json.dumps(answer).encode()
        time.sleep(max(0.0, self.arrived + server.latency - time.monotonic()))
        self._send(status, body)

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the exchange reports what happened."""


class _Server(socketserver.ThreadingTCPServer):
    """The server of one service.

    Not `http.server.HTTPServer`, which asks the domain name system for its own name at start.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, mode: str, pace: float, notice_url: str) -> None:
        self.name = name
        self.mode = mode
        self.service = SERVICES[name]
        self.latency = self.service.latency_ms / 1000 * pace
        self.notice_url = notice_url
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.server_bind()
        if mode != "down":  # that one keeps its port, so that nobody else takes it, and is deaf
            self.server_activate()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of an exchange that hung up in the middle: that is how late bidders lose."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _serve(name: str, mode: str, pace: str, notice_url: str = "") -> None:
    server = _Server(name, mode, float(pace), notice_url)
    if mode != "down":
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the exchange was interrupted while we started
        print(server.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)  # with questions still open: nobody is there any more to be answered


if __name__ == "__main__":
    _serve(*sys.argv[1:])
