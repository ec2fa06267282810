"""Files on real servers, HTTP and XRootD: the same scores as of the file here, restarts, and who is who."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from remote_servers import HTTP, XRootD, http_server, xrootd_server
from test_cli import jetad

from jetad import readers
from jetad.errors import InputError
from jetad.production import read_ledger
from jetad.production.input_identity import hash_of_ends, stamp_of
from jetad.readers.containers import remote
from jetad.readers.containers import root as rootfile
from jetad.scores import load_scores
from jetad.writers import write_jets


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, quick_runs: Path) -> Path:
    """A run, and files to serve."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "run").symlink_to(quick_runs / "run")
    (folder / "data").mkdir()
    write_jets(toy_jets(230, 2, labels=1), folder / "data" / "signal.root")
    write_jets(toy_jets(60, 3), folder / "data" / "other.root")
    write_jets(toy_jets(230, 2, labels=1), folder / "data" / "signal.h5")
    return folder


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JETAD_RUN", str(files / "run"))
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0.0, 0.05))
    return tmp_path


@pytest.fixture
def http(files: Path) -> Iterator[HTTP]:
    with http_server(files / "data") as server:
        yield server


@pytest.fixture(scope="module")
def xrootd(files: Path) -> Iterator[XRootD]:
    with xrootd_server() as server:
        for name in ("signal.root", "signal.h5"):
            server.put(files / "data" / name)
        yield server


@pytest.fixture(params=["http", "xrootd"])
def server(request: pytest.FixtureRequest) -> HTTP | XRootD:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", ["signal.root", "signal.h5"])
def test_scores_are_those_of_the_file_here(
    server: HTTP | XRootD, here: Path, files: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url, local = server.url(name), files / "data" / name
    scores = f"signal.scores{local.suffix}"
    assert jetad("score", url, "-o", "there", "--chunk", "50") == 0
    assert f"there/{scores}: 230 of 230 jets scored" in capsys.readouterr().out
    assert jetad("score", local, "-o", "here", "--chunk", "50") == 0
    a, b = load_scores(f"there/{scores}"), load_scores(f"here/{scores}")
    for name, values in a.columns().items():
        np.testing.assert_array_equal(values, b.columns()[name], err_msg=name)
    ledger = read_ledger(here / "there" / scores)
    assert ledger is not None
    assert (ledger["input"], ledger["input_size"]) == (url, local.stat().st_size)
    assert ledger["input_ends_sha256"] == hash_of_ends(local)[1]
    assert "input_sha256" not in ledger
    capsys.readouterr()
    # known by its ends, there and here; a local ledger knows all of the file, which nobody fetches
    for scored, original, word in (
        ("there", url, "ok"), ("there", local, "ok"), ("here", local, "ok"), ("here", url, "unknown"),
    ):  # fmt: skip
        assert jetad("verify", f"{scored}/{scores}", original) == 0
        lines = capsys.readouterr().out.splitlines()
        assert word in next(line for line in lines if line.startswith("same input file"))
    assert jetad("verify", f"there/{scores}", files / "data" / "other.root") == 1
    assert jetad("score", url, "-o", "there") == 1
    assert "is complete; nothing is left to do" not in capsys.readouterr().out


def test_parts_are_merged(server: HTTP | XRootD, here: Path, capsys) -> None:
    url = server.url("signal.root")
    for k in (1, 2):
        assert jetad("score", url, "--part", f"{k}/2", "-o", "parts") == 0
    assert jetad("merge", *sorted(Path("parts").glob("*.root")), "-o", "all.root") == 0
    assert len(load_scores("all.root")) == 230


def test_plan_and_check(server: HTTP | XRootD, here: Path, capsys) -> None:
    url = server.url("signal.root")
    assert jetad("plan", url, "--seconds", "0.2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_jets"] == 230
    assert jetad("score", url, "--check") == 0
    assert "would write signal.scores.root" in capsys.readouterr().out


def test_what_is_not_there_is_said_at_once(server: HTTP | XRootD, here: Path, capsys) -> None:
    assert jetad("score", server.url("nothing.root")) == 1
    out = capsys.readouterr()
    assert out.err.count("nothing.root: no such file on the server") == 1
    assert "trying again" not in out.err


def test_a_busy_server_is_asked_again(http: HTTP, here: Path, caplog) -> None:
    n = len(readers.read(http.url("signal.root")))
    http.answer(0)
    before = http.n_requests
    with pytest.raises(InputError, match=r"signal\.root: its server does not answer"):
        stamp_of(Path(http.url("signal.root")))
    assert caplog.text.count("trying again") == 2
    assert http.n_requests - before <= 12  # a few by fsspec itself, for each of three attempts
    assert n == 230


def test_hdf5_is_inspected_and_trained_on(http: HTTP, here: Path, files: Path, capsys) -> None:
    url = http.url("signal.h5")
    assert jetad("inspect", url, f"{url}:table") == 0
    assert capsys.readouterr().out.count("format          landscape, HDF5 (pandas table), 'table'") == 2
    words = ("--method", "mahalanobis", "--representation", "features", "--quiet", "--allow", "labels")
    assert jetad("train", "--background", url, "-o", "far", *words) == 0
    assert jetad("train", "--background", files / "data" / "signal.h5", "-o", "near", *words) == 0
    for run in ("far", "near"):
        assert jetad("score", url, "--run", run, "-o", run) == 0
    far, near = (load_scores(f"{run}/signal.scores.h5").score for run in ("far", "near"))
    np.testing.assert_array_equal(far, near)


def test_reading_hdf5_goes_on_after_a_busy_server(
    http: HTTP, here: Path, files: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(remote._IN_BLOCKS, "block_size", 1 << 15)
    monkeypatch.setitem(remote._IN_BLOCKS, "cache_options", {"maxblocks": 2})
    path = files / "data" / "long.h5"
    write_jets(toy_jets(3000, 4), path)
    whole = readers.read(path)
    pieces = []
    for jets in readers.iterate(http.url("long.h5"), step=500):
        pieces.append(jets)
        if len(pieces) == 2:
            http.refuse(2)
    assert caplog.text.count("trying again") == 2
    found = type(whole).concatenate(pieces)
    np.testing.assert_array_equal(found.pt, whole.pt)
    np.testing.assert_array_equal(found.entry, whole.entry)


def test_no_garbage_is_collected_while_hdf5_is_read_from_a_server(
    http: HTTP, here: Path, files: Path
) -> None:
    assert gc.isenabled()
    streams = [remote.open_remote(http.url("signal.h5"), in_blocks=True) for _ in range(2)]
    assert not gc.isenabled()
    streams[0].read(100)
    streams[0].close()
    streams[0].close()
    assert not gc.isenabled()
    streams[1].close()
    assert gc.isenabled()
    jets = readers.iterate(http.url("signal.h5"), step=100)
    next(jets)
    assert not gc.isenabled()
    jets.close()
    assert gc.isenabled()


# a thread that leaves HDF5 objects in cycles, while files are read through the thread of fsspec
LITTER = """
import gc, os, sys, threading, time
import h5py
from remote_servers import HTTP
from jetad import readers
from jetad.readers import remote

remote._IN_BLOCKS.update(block_size=1 << 14, cache_options={"maxblocks": 2})
server, file = HTTP(sys.argv[1]), h5py.File("x", "w", driver="core", backing_store=False)
file["a"] = [1, 2, 3]
gc.set_threshold(200, 2, 2)

def litter():
    while True:
        for _ in range(20):
            cycle = [file["a"]]
            cycle.append(cycle)
        time.sleep(0.0005)

threading.Thread(target=litter, daemon=True).start()
for _ in range(5):
    for jets in readers.iterate(server.url("long.h5"), step=300):
        pass
os._exit(0)  # the thread that litters must not meet the end of the interpreter
"""


def test_reading_hdf5_does_not_wait_for_its_own_garbage(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    write_jets(toy_jets(3000, 4), tmp_path / "long.h5")
    command = [sys.executable, "-c", LITTER, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_search_for_garbage_that_goes_on_is_waited_for() -> None:
    began, ended = threading.Event(), []

    class Slow:
        def __del__(self) -> None:
            began.set()
            time.sleep(0.3)
            ended.append(time.monotonic())

    def search() -> None:
        slow = Slow()
        slow.itself = slow
        del slow
        gc.collect()

    thread = threading.Thread(target=search)
    thread.start()
    assert began.wait(10)
    collection = remote._Collection()
    collection.pause()
    assert ended
    assert not gc.isenabled()
    collection.resume()
    assert gc.isenabled()
    thread.join()


def test_hdf5_that_is_broken_is_not_asked_for_again(http: HTTP, here: Path, files: Path, caplog) -> None:
    whole = (files / "data" / "signal.h5").read_bytes()
    (files / "data" / "short.h5").write_bytes(whole[: len(whole) // 2])
    (files / "data" / "page.h5").write_bytes(b"<html>" * 1000)
    with pytest.raises(InputError, match=rf"short\.h5: .*is truncated: \d+ of {len(whole)} bytes are there"):
        readers.read(http.url("short.h5"))
    with pytest.raises(InputError, match=r"page\.h5: cannot be read, the file is broken or of another kind"):
        readers.read(http.url("page.h5"))
    with pytest.raises(InputError, match=r"none\.h5: no such file on the server"):
        readers.read(http.url("none.h5"))
    assert "trying again" not in caplog.text
    http.answer(0)
    with pytest.raises(InputError, match=r"signal\.h5: its server does not answer"):
        readers.read(http.url("signal.h5"))
    assert caplog.text.count("trying again") == 2
    with pytest.raises(InputError, match=r"signal\.h5: its server does not answer"):
        readers.read("http://127.0.0.1:9/signal.h5")  # where nobody listens
    assert caplog.text.count("trying again") == 4


def test_a_server_without_ranges(
    http: HTTP, here: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.send_ranges(False)
    assert len(readers.read(http.url("signal.h5"))) == 230  # in one block
    monkeypatch.setitem(remote._IN_BLOCKS, "block_size", 1 << 14)
    with pytest.raises(
        InputError, match=r"signal\.h5: its server sends files only as a whole; copy the file"
    ):
        readers.read(http.url("signal.h5"))
    assert "trying again" not in caplog.text


COLLECTING = """
import gc, sys
import fsspec.implementations.http as http
import h5py
from jetad import readers

gc.set_threshold(10**9)
fetch = http.HTTPFile.async_fetch_range

async def collecting(self, *args, **more):
    if gc.isenabled():
        gc.collect()
    return await fetch(self, *args, **more)

http.HTTPFile._fetch_range = http.sync_wrapper(collecting)
cycle = [h5py.File(sys.argv[2])["table/table"]]
cycle.append(cycle)
del cycle
print(len(readers.read(sys.argv[1])))
"""


def test_garbage_of_hdf5_does_not_stop_a_remote_file(http: HTTP, here: Path, files: Path) -> None:
    """The thread that fetches bytes collects it, while the lock of HDF5 is held for that very read."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECTING, http.url("signal.h5"), str(files / "data" / "signal.h5")],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.stdout.strip() == "230", done.stderr


def test_hdf5_is_fetched_in_blocks(http: HTTP, here: Path, files: Path) -> None:
    path = files / "data" / "blocks.h5"
    write_jets(toy_jets(3000, 5), path)
    n_blocks = -(-path.stat().st_size // (1 << 19))
    assert len(readers.read(http.url("blocks.h5"))) == 3000
    assert http.n_requests <= 2 * n_blocks + 4  # opened to find the format, and to read


def test_parts_survive_a_server_that_went_away(
    http: HTTP, here: Path, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # many small baskets, each fetched on its own
    monkeypatch.setattr("jetad.writers.jetclass._JETS_PER_BASKET", 20)
    monkeypatch.setattr("jetad.readers.formats.jetclass._MIN_ENTRIES", 20)
    write_jets(toy_jets(230, 2, labels=1), files / "data" / "baskets.root")
    url = http.url("baskets.root")
    assert jetad("score", files / "data" / "baskets.root", "-o", "here", "--chunk", "20") == 0
    before = http.n_requests
    assert jetad("score", url, "-o", "first", "--chunk", "20") == 0
    needed = http.n_requests - before
    rootfile._outlines.cache_clear()
    http.answer(needed - 10)
    assert jetad("score", url, "-o", "there", "--chunk", "20") == 1
    assert "its server does not answer" in capsys.readouterr().err
    kept = list(Path("there/.baskets.scores.root.parts").glob("part-*.npz"))
    assert 0 < len(kept) < 12
    http.answer()
    assert jetad("score", url, "-o", "there", "--chunk", "20") == 0
    found, wanted = load_scores("there/baskets.scores.root"), load_scores("here/baskets.scores.root")
    np.testing.assert_array_equal(found.score, wanted.score)
    assert not Path("there/.baskets.scores.root.parts").exists()


@pytest.mark.slow
def test_reading_goes_on_when_xrootd_comes_back(
    xrootd: XRootD, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jetad.writers.jetclass._JETS_PER_BASKET", 20)
    monkeypatch.setattr("jetad.readers.formats.jetclass._MIN_ENTRIES", 20)
    jets = toy_jets(230, 8)
    write_jets(jets, files / "data" / "long.root")
    pieces = readers.iterate(xrootd.put(files / "data" / "long.root"), step=20)
    found = [next(pieces)]
    xrootd.stop()
    restart = threading.Timer(2.0, xrootd.start)
    restart.start()
    try:
        found += pieces
    finally:
        restart.join()
    assert [len(piece) for piece in found] == [20] * 11 + [10]
    np.testing.assert_allclose(np.concatenate([p.jet_pt for p in found]), jets.jet_pt, rtol=1e-5)


def test_a_changed_file_is_scored_again(http: HTTP, here: Path, files: Path, capsys) -> None:
    changing = files / "data" / "changing.root"
    shutil.copy(files / "data" / "signal.root", changing)
    url, other = http.url("changing.root"), http.url("other.root")
    assert jetad("score", url, other, "-o", "there") == 0
    capsys.readouterr()
    assert jetad("score", url, other, "-o", "there") == 0
    assert capsys.readouterr().out.count("complete before") == 2
    write_jets(toy_jets(230, 9, labels=1), changing, force=True)
    rootfile._outlines.cache_clear()
    assert jetad("score", url, other, "-o", "there") == 1
    assert "exists already" in capsys.readouterr().err


def test_a_query_is_no_part_of_the_name(http: HTTP, here: Path, capsys) -> None:
    assert jetad("score", http.url("signal.root") + "?token=a.b", "-o", ".") == 0
    assert Path("signal.scores.root").exists()


def test_small_and_large_files_have_different_ends(tmp_path: Path) -> None:
    path, rng = tmp_path / "x", np.random.default_rng(0)
    seen = set()
    for n in (0, 1, 65535, 65536, 65537, 131072, 200_000):
        path.write_bytes(rng.bytes(n))
        size, digest = hash_of_ends(path)
        assert size == n
        seen.add(digest)
        if n:
            content = bytearray(path.read_bytes())
            for at in (0, n - 1):
                changed = content.copy()
                changed[at] ^= 1
                path.write_bytes(changed)
                seen.add(hash_of_ends(path)[1])
    assert len(seen) == 1 + 2 + 3 * 5
