"""The page served while runs go on: read only, to this machine alone unless a token is given."""

import hashlib
import hmac
import json
import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from urllib.parse import parse_qs, urlsplit

from muse.config.report import ReportConfig
from muse.errors import MuseError
from muse.report.page import page

log = logging.getLogger(__name__)

SECONDS = 2.0  # for which what was read is given again
HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Content:
    """What is served, read again from the run folders when it is asked for and has become old."""

    def __init__(self, read: Callable[[], dict]):
        self._read, self._lock = read, threading.Lock()
        self._made, self._content = -SECONDS, {}

    def __call__(self) -> dict:
        with self._lock:
            if monotonic() - self._made >= SECONDS:
                self._content, self._made = self._read(), monotonic()
            return self._content


class Handler(BaseHTTPRequestHandler):
    """GET of / and /data.json; everything else is refused."""

    timeout = 30  # seconds for a request

    def __init__(self, *arguments, config: ReportConfig, content: Content):
        self.config, self.content = config, content
        super().__init__(*arguments)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if refused := self._refused(url.query):
            self.send_error(HTTPStatus.FORBIDDEN, refused)
        elif url.path not in ("/", "/data.json"):
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            try:
                content = self.content()
            except MuseError as error:
                log.warning("%s", error)
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            if url.path == "/":
                self._send("text/html; charset=utf-8", page(content).encode())
            else:
                self._send("application/json", json.dumps(content, allow_nan=False).encode())

    do_HEAD = do_GET

    def _refused(self, query: str) -> str:
        """Why a request is not answered; empty if it is.

        Another name than this machine's is that of a page elsewhere whose name was made to lead
        here (DNS rebinding).
        """
        token = self.config.token
        if token is not None:
            given = parse_qs(query).get("token", [""])[0]
            right = hmac.compare_digest(given.encode(errors="replace"), token.encode())
            return "" if right else "Wrong or no token"
        port = self.server.server_address[1]
        known = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", self.config.host)}
        return "" if self.headers.get("Host") in known else "Unknown host"

    def _send(self, kind: str, body: bytes) -> None:
        tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        same = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("ETag", tag)
        if not same:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET" and not same:
            self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Nothing is printed for each request."""


class Server(ThreadingHTTPServer):
    """A server that takes no notice of a browser that has left."""

    def handle_error(self, request, address) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            log.error("a request has failed", exc_info=True)


def server_of(config: ReportConfig, read: Callable[[], dict]) -> Server:
    """A server that listens already; MuseError if the port is in use or the address is not ours."""
    handler = partial(Handler, config=config, content=Content(read))
    try:
        return Server((config.host, config.port), handler)
    except (OSError, UnicodeError) as error:
        raise MuseError(
            f"port={config.port}, host={config.host}: {getattr(error, 'strerror', error)}. If "
            "another program has the port, such as another muse report, give another: port="
            f"{config.port % 65535 + 1}"
        ) from None
