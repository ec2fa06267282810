"""Published sets from a server on this machine: checked, resumed, refused, and never half there."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_cli import jetad

from jetad.errors import ConfigError, InputError, OutputError
from jetad.readers import READERS

pytest.importorskip("pooch", reason="files are downloaded with pooch: pip install 'jetad[fetch]'")

from jetad.reference import SETS, ReferenceFile, ReferenceSet, download, fetch
from jetad.reference.download import chosen_files

CONTENT = hashlib.shake_256(b"jets").digest(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(SimpleHTTPRequestHandler):
    """Sends ``CONTENT``, or what its server is told to send of it."""

    def do_GET(self) -> None:
        server: Any = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status is not None:
            self.send_response(*server.status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", asked or "") if server.ranges else None
        first = int(wanted[1]) if wanted else 0
        if first >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(server.content) - first))
        if wanted:
            self.send_header(
                "Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}"
            )
        self.end_headers()
        end = len(server.content) if not server.cuts else first + server.cuts.pop(0)
        self.wfile.write(server.content[first:end])
        if end < len(server.content):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *words: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """``cuts``: after how many bytes each of the next connections ends."""

    def __init__(self) -> None:
        super().__init__(("localhost", 0), partial(Handler))
        self.content, self.ranges, self.status = CONTENT, True, None
        self.cuts: list[int] = []
        self.asked: list[str | None] = []
        self.headers: dict[str, str] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    """A server of the one file of the set ``here``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0, 0.0))
    started = Server()
    publish(monkeypatch, f"http://localhost:{started.server_port}/jets.h5")
    yield started
    started.shutdown()
    started.server_close()


def publish(monkeypatch, url: str, checksum: str | None = f"md5:{MD5}", size: int | None = None) -> None:
    file = ReferenceFile("jets.h5", url, checksum, size)
    monkeypatch.setitem(
        SETS,
        "here",
        ReferenceSet("jets", (file, file._replace(name="more.h5")), ("jets.h5",), "table", "d", "p"),
    )


def left() -> list[str]:
    return sorted(path.name for path in Path("here").iterdir())


# --- what comes -------------------------------------------------------------------------------------------


def test_a_file_comes_and_is_kept(server, capsys):
    assert jetad("fetch", "here") == 0
    assert capsys.readouterr().out == "here/jets.h5\n"
    assert Path("here/jets.h5").read_bytes() == CONTENT
    assert left() == ["jets.h5"]
    n = len(server.asked)
    assert jetad("fetch", "here", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ["here/jets.h5"]
    assert len(server.asked) == n  # checked, and not asked for again


def test_all_files_and_patterns(server):
    paths = fetch("here", "there", files=["m*"])
    assert [path.name for path in paths] == ["more.h5"]
    assert len(fetch("here", "there", everything=True)) == 2


def test_progress(server):
    seen = []
    fetch("here", progress=lambda *words: seen.append(words))
    assert seen[-1] == ("jets.h5", len(CONTENT), len(CONTENT))


# --- interruptions ----------------------------------------------------------------------------------------


def test_a_lost_connection_is_taken_up_where_it_ended(server):
    server.cuts = [1_000_000, 500_000]
    fetch("here")
    assert Path("here/jets.h5").read_bytes() == CONTENT
    assert server.asked[0] is None
    firsts = [int(re.search(r"\d+", asked)[0]) for asked in server.asked[1:]]
    assert firsts == sorted(firsts)
    assert 0 < firsts[0] <= 1_000_000
    assert left() == ["jets.h5"]


def test_the_same_command_goes_on(server, capsys):
    server.cuts = [700_000, 0, 0, 0]
    assert jetad("fetch", "here") == 1
    said = capsys.readouterr().err
    assert "the connection is lost again and again" in said
    assert "the same command goes on" in said
    assert left() == [".jets.h5.part"]
    have = Path("here/.jets.h5.part").stat().st_size
    assert 0 < have <= 700_000
    server.asked.clear()
    assert jetad("fetch", "here") == 0
    assert server.asked == [f"bytes={have}-"]
    assert Path("here/jets.h5").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server):
    server.ranges, server.cuts = False, [1_000_000]
    fetch("here")
    assert Path("here/jets.h5").read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_download(server):
    Path("here").mkdir()
    Path("here/.jets.h5.part").write_bytes(CONTENT)
    fetch("here")
    assert left() == ["jets.h5"]
    Path("here/jets.h5").unlink()
    Path("here/.jets.h5.part").write_bytes(CONTENT + b"too much")
    fetch("here")  # begins again
    assert Path("here/jets.h5").read_bytes() == CONTENT


# --- what is wrong ----------------------------------------------------------------------------------------


def test_a_damaged_download_is_removed(server, capsys):
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    assert jetad("fetch", "here") == 1
    assert "is not the published file (its checksum is another)" in capsys.readouterr().err
    assert left() == []
    server.content = CONTENT
    assert jetad("fetch", "here") == 0


def test_a_damaged_part_is_not_kept(server):
    Path("here").mkdir()
    Path("here/.jets.h5.part").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="checksum is another"):
        fetch("here")
    assert left() == []


def test_a_file_that_is_there_and_another(server, capsys):
    Path("here").mkdir()
    Path("here/jets.h5").write_bytes(b"mine")
    assert jetad("fetch", "here") == 1
    assert "is there, and is not the published file" in capsys.readouterr().err
    assert Path("here/jets.h5").read_bytes() == b"mine"
    assert server.asked == []


def test_a_record_that_has_changed(server, monkeypatch):
    publish(monkeypatch, SETS["here"].files[0].url, size=len(CONTENT) - 1)
    with pytest.raises(InputError, match="the record has changed"):
        fetch("here")


def test_without_a_known_checksum_it_says_so(server, monkeypatch, capsys):
    publish(monkeypatch, SETS["here"].files[0].url, None)
    assert jetad("fetch", "here") == 0
    assert "not checked: no published checksum is known here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        ((404, "Not Found"), {}, r"refuses it \(404 Not Found\)"),
        ((403, "Forbidden"), {}, r"refuses it \(403 Forbidden\)"),
        ((429, "Too Many Requests"), {"Retry-After": "60"}, "busy; try again in 60 s"),
        ((503, "Busy"), {}, "busy; try again later"),
        ((302, "Found"), {"Location": "/jets.h5"}, "cannot be reached"),  # round and round
    ],
)
def test_a_server_that_refuses(server, status, headers, message):
    server.status, server.headers = status, headers
    with pytest.raises(InputError, match=message):
        fetch("here")
    assert left() == []


def test_without_a_network(server, monkeypatch, capsys):
    with socket.socket() as closed:
        closed.bind(("localhost", 0))
        publish(monkeypatch, f"http://localhost:{closed.getsockname()[1]}/jets.h5")
        assert jetad("fetch", "here") == 1
    said = capsys.readouterr().err
    assert "the server cannot be reached from here (Connection refused)" in said
    assert "put jets.h5 into here/" in said
    assert left() == []
    publish(monkeypatch, "http://no-such-host.invalid/jets.h5")
    assert jetad("fetch", "here") == 1
    assert "cannot be reached" in capsys.readouterr().err
    Path("here/jets.h5").write_bytes(CONTENT)  # brought by other means
    assert jetad("fetch", "here") == 0


def test_a_full_disk(server, capsys):
    """The limit on the size of a file stands for it: the write itself is refused."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        assert jetad("fetch", "here") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    said = capsys.readouterr().err
    assert "here/jets.h5: cannot be written (File too large); make room" in said
    assert left() == [".jets.h5.part"]
    assert jetad("fetch", "here") == 0  # there is room again
    assert Path("here/jets.h5").read_bytes() == CONTENT


def test_too_little_room_is_told_before(server, monkeypatch):
    publish(monkeypatch, SETS["here"].files[0].url, size=10**18)
    with pytest.raises(OutputError, match="needs 1e\\+09 GB more"):
        fetch("here")
    assert server.asked == []


def test_two_downloads_into_one_folder(server):
    from jetad.files.locks import locked

    Path("here").mkdir()
    with locked("here/.fetch.lock", "held"), pytest.raises(OutputError, match="another download"):
        fetch("here")


def test_nothing_is_written_through_a_link(server):
    Path("here").mkdir()
    Path("mine").write_bytes(b"mine")
    for name in ("jets.h5", ".jets.h5.part"):
        Path("here", name).symlink_to("../mine")
        with pytest.raises(OutputError, match="symbolic link"):
            fetch("here")
        Path("here", name).unlink()
    assert Path("mine").read_bytes() == b"mine"


# --- the list ---------------------------------------------------------------------------------------------


def test_the_catalogue_makes_sense():
    assert list(SETS) == ["top-landscape", "jetclass", "lhco", "jetnet", "darkmachines"]
    for found in SETS.values():
        assert set(found.reader.split(", ")) <= set(READERS)
        names = [file.name for file in found.files]
        assert len(set(names)) == len(names)
        assert set(found.usual) <= set(names)
        record = found.doi.rpartition(".")[2]
        for file in found.files:
            assert file.url == f"https://zenodo.org/records/{record}/files/{file.name}?download=1"
            assert file.checksum is None or re.fullmatch(
                "md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum
            )
    sums = [file.checksum for found in SETS.values() for file in found.files if file.checksum]
    assert len(set(sums)) == len(sums)


def test_the_list(capsys):
    assert jetad("fetch", "--list") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in text for name in SETS)
    assert jetad("fetch", "jetnet", "--list", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert found["files"][0]["name"] == "g.hdf5"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "give the name of a set: top-landscape"),
        (["top"], 2, "unknown reference set 'top'; choose one of: top-landscape"),
        (["jetnet", "--file", "x.h5"], 2, "'jetnet' has no file 'x.h5'"),
        (["jetnet", "-o", "http://host/x"], 1, "writes to this machine"),
        (["jetnet", "-o", "file"], 1, "file: the folder cannot be made"),
        (["jetnet", "qcd.h5"], 2, "unexpected extra argument"),
    ],
)
def test_bad_words(tmp_path, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert jetad("fetch", *words) == code
    assert message in capsys.readouterr().err


def test_unknown_names():
    with pytest.raises(ConfigError, match="unknown reference set"):
        chosen_files("x")
