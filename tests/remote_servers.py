"""Real servers of files on this machine: HTTP with ranges in a thread, and XRootD where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Ranges(SimpleHTTPRequestHandler):
    """Files with ranges of bytes, as storage servers give them; refuses requests when it is told to."""

    def do_GET(self) -> None:
        self.server.n_requests += 1  # type: ignore[attr-defined]
        if self.server.answers <= 0 or self.server.refusals > 0:  # type: ignore[attr-defined]
            self.server.refusals -= 1  # type: ignore[attr-defined]
            self.send_error(503, "busy")
            return
        self.server.answers -= 1  # type: ignore[attr-defined]
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        size = file.stat().st_size
        asked = self.headers.get("Range", "") if self.server.ranges else ""  # type: ignore[attr-defined]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        first, last = (int(wanted[1]), int(wanted[2] or size - 1)) if wanted else (0, size - 1)
        last = min(last, size - 1)
        self.send_response(206 if wanted else 200)
        if self.server.ranges:  # type: ignore[attr-defined]
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with file.open("rb") as stream, contextlib.suppress(ConnectionError):
            stream.seek(first)
            self.wfile.write(stream.read(last - first + 1))

    def log_message(self, *words: Any) -> None:
        pass


class HTTP:
    """The files of a folder at ``http://localhost:port``."""

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("localhost", 0), partial(Ranges, directory=str(folder)))
        self._server.n_requests = 0  # type: ignore[attr-defined]
        self.refuse(0)
        self.send_ranges(True)
        self.answer()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, name: str) -> str:
        return f"http://localhost:{self._server.server_port}/{name}"

    def answer(self, n: float = float("inf")) -> None:
        """Answer the next ``n`` requests, and refuse those after them."""
        self._server.answers = n  # type: ignore[attr-defined]

    def send_ranges(self, whether: bool) -> None:
        """Send ranges of bytes, or always the whole file."""
        self._server.ranges = whether  # type: ignore[attr-defined]

    def refuse(self, n: int) -> None:
        """Refuse the next ``n`` requests, and answer those after them."""
        self._server.refusals = n  # type: ignore[attr-defined]

    @property
    def n_requests(self) -> int:
        return int(self._server.n_requests)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[HTTP]:
    """A server in a thread; skips where fsspec has no HTTP client."""
    if importlib.util.find_spec("aiohttp") is None:
        pytest.skip("no HTTP client for fsspec on this machine (pip install aiohttp)")
    server = HTTP(folder)
    try:
        yield server
    finally:
        server.close()


class XRootD:
    """An ``xrootd`` that exports a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jetad-xrootd-"))
        self.folder.chmod(0o777)  # the server will not run as root
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = probe.getsockname()[1]
        (self.folder / "x.cfg").write_text(
            f"all.role server\nall.export {self.folder}\nxrd.port {self.port}\n"
            f"all.adminpath {self.folder}/admin\nall.pidpath {self.folder}/admin\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        user = ["-R", "nobody"] if os.geteuid() == 0 else []
        words = ["xrootd", *user, "-c", str(self.folder / "x.cfg"), "-l", str(self.folder / "log")]
        self._process = subprocess.Popen(
            words, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("localhost", self.port), 1):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        log = self.folder / "log"
        raise RuntimeError(f"xrootd did not start: {log.read_text()[-500:] if log.exists() else 'no log'}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def put(self, path: Path) -> str:
        """Export a copy of a file; its URL."""
        copy = self.folder / path.name
        shutil.copy(path, copy)
        copy.chmod(0o644)
        return self.url(path.name)

    def url(self, name: str) -> str:
        return f"root://localhost:{self.port}/{self.folder}/{name}"


@contextlib.contextmanager
def xrootd_server() -> Iterator[XRootD]:
    """A running server; skips where server or client are missing."""
    if shutil.which("xrootd") is None:
        pytest.skip("no XRootD server on this machine (Debian: apt install xrootd-server)")
    if importlib.util.find_spec("fsspec_xrootd") is None:
        pytest.skip("no XRootD client for fsspec on this machine (pip install fsspec-xrootd)")
    server = XRootD()
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
