"""Score files that can be trusted: accounts, restarts, several processes, verification, merging."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import torch
import uproot
from conftest import toy_jets
from test_cli import jetad

from jetad import readers
from jetad.detector import TrainedDetector
from jetad.detector.member import _for_scoring
from jetad.errors import ConfigError, InputError, Interrupted, JetadError, OutputError
from jetad.evaluation.filenames import named_files
from jetad.production import Request, merge_scores, read_ledger, score_file, score_files, verify_scores
from jetad.production.fingerprint import fingerprint_of
from jetad.production.tree_copy import copy_with_scores
from jetad.production.workspace import Workspace
from jetad.runs import Run
from jetad.scores import Scores, load_scores
from jetad.writers import write_jets

N = 230
CHUNK = Request(chunk=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick_runs):
    """A run and files of jets that it has not seen."""
    folder = tmp_path_factory.mktemp("production")
    (folder / "run").symlink_to(quick_runs / "run")
    write_jets(toy_jets(N, 2, labels=1), folder / "signal.h5")
    write_jets(toy_jets(N, 2, labels=1), folder / "signal.root")
    write_jets(toy_jets(60, 3), folder / "other.h5")
    return folder


@pytest.fixture
def run(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Run.open(folder / "run")


@pytest.fixture
def whole(run, folder, tmp_path):
    """Scores of signal.h5 by an uninterrupted call."""
    score_file(
        TrainedDetector.from_run(run, "cpu"), folder / "signal.h5", tmp_path / "whole.h5", request=CHUNK
    )
    return load_scores(tmp_path / "whole.h5")


def assert_same(a: Scores, b: Scores) -> None:
    assert list(a.columns()) == list(b.columns())
    for name, values in a.columns().items():
        np.testing.assert_array_equal(values, b.columns()[name], err_msg=name)


def hidden(path: Path) -> list[str]:
    return [p.name for p in path.iterdir() if p.name.startswith(".")]


class StopAfter:
    """A stop request that comes after so many looks at it."""

    signal = None

    def __init__(self, n: int) -> None:
        self.n = n

    def __bool__(self) -> bool:
        self.n -= 1
        return self.n < 0


# --- equal scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [7, 1000, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 64))])
def test_chunks_and_formats_do_not_change_scores(run, folder, tmp_path, whole, chunk):
    detector = TrainedDetector.from_run(run, "cpu")
    for suffix in (".h5", ".root", ".csv", ".parquet"):
        output = tmp_path / f"a{suffix}"
        score_file(detector, folder / "signal.h5", output, request=Request(chunk=chunk))
        scores = load_scores(output)
        np.testing.assert_allclose(scores.score, whole.score, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(scores.entry, whole.entry)
        if chunk == 1:
            break


def test_order_and_neighbours_do_not_change_scores(run, folder, whole):
    detector = TrainedDetector.from_run(run, "cpu")
    jets = readers.read(folder / "signal.h5")
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_allclose(detector.score(jets[order]), whole.score[order], rtol=0, atol=1e-6)
    for rows in (slice(3, 4), slice(5, 7), slice(0, 33)):
        np.testing.assert_allclose(detector.score(jets[rows]), whole.score[rows], rtol=0, atol=1e-6)
    empty_and_broken = np.array(jets.pt)
    empty_and_broken[jets.jet_index == 4] = np.nan
    scores = detector.score(dataclasses.replace(jets, pt=empty_and_broken))
    assert np.flatnonzero(np.isnan(scores)).tolist() == [4]
    np.testing.assert_allclose(np.delete(scores, 4), np.delete(whole.score, 4), rtol=0, atol=1e-6)


class FullMemory:
    """A network that finds the memory full for more than some rows; there is no GPU here that could do it."""

    def __init__(self, model, fits: int) -> None:
        self.model, self.fits, self.sizes = model, fits, []

    def score(self, x):
        return self._try(self.model.score, x)

    def score_inputs(self, x):
        return self._try(self.model.score_inputs, x)

    def _try(self, score, x):
        self.sizes.append(len(x))
        if len(x) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return score(x)


def test_full_memory_halves_the_batch(run, folder, whole, monkeypatch, caplog):
    monkeypatch.setattr("jetad.detector.member._BATCH", {"cpu": 200})
    full = {}

    def network(model, device):
        return full.setdefault(id(model), FullMemory(_for_scoring(model, device), 70))

    monkeypatch.setattr("jetad.detector.member._for_scoring", network)
    detector = TrainedDetector.from_run(run, "cpu")
    scores = detector.score(readers.read(folder / "signal.h5"))
    np.testing.assert_allclose(scores, whole.score, rtol=0, atol=1e-6)
    # 230 jets of two members; what fitted once is kept
    assert [stub.sizes for stub in full.values()] == [[200, 100, 50, 50, 50, 50, 32], [50, 50, 50, 50, 32]]
    assert "the memory of the GPU is full: scoring 50 jets at once" in caplog.text
    for stub in full.values():
        stub.fits = 10
    with pytest.raises(JetadError, match="too little memory to score 32 jets at once; use --device cpu"):
        detector.score(readers.read(folder / "signal.h5"))


def test_reading_rows_is_a_slice_of_reading_all(folder):
    for path in (folder / "signal.h5", folder / "signal.root"):
        jets = readers.read(path)
        for start, stop in ((0, None), (0, 1), (17, 103), (229, 230), (40, None)):
            some = readers.Jets.concatenate(readers.iterate(path, step=10, start=start, stop=stop))
            np.testing.assert_array_equal(some.entry, jets.entry[start:stop])
            np.testing.assert_array_equal(some.pt, jets[start:stop].pt)


# --- account, restart ------------------------------------------------------------------------------


def test_ledger_closes_the_account(run, folder, tmp_path):
    output = tmp_path / "a.root"
    with h5py.File(folder / "signal.h5") as source, h5py.File(tmp_path / "bad.h5", "w") as target:
        source.copy("table", target)
        table = target["table/table"]
        rows = table[:]
        block = next(
            n for n in rows.dtype.names if n.startswith("values_block") and rows[n].dtype.kind == "f"
        )
        rows[block][3] = 0
        rows[block][5, 0] = np.nan
        table[:] = rows
    request = Request(
        chunk=50, select="jet_pt > 360 & n_constituents >= 1", working_points=(0.5, 0.05), keep=("ttv",)
    )
    account = score_file(TrainedDetector.from_run(run, "cpu"), tmp_path / "bad.h5", output, request=request)
    jets = readers.read(tmp_path / "bad.h5")
    wanted = np.flatnonzero(jets.jet_pt > 360)  # false for NaN
    assert account.read == N == account.scored + account.selected_out + account.failed
    assert account.selected_out == N - len(wanted) > 0
    scores, ledger = load_scores(output), read_ledger(output)
    np.testing.assert_array_equal(scores.entry, wanted)
    assert ledger is not None
    for name in ("n_read", "n_scored", "n_selected_out", "n_failed", "digest", "input_sha256", "selection"):
        assert ledger[name] == scores.metadata[name]
    assert ledger["status"] == "complete"
    np.testing.assert_array_equal(scores.extra["pass_0p5"], scores.background_efficiency <= 0.5)
    assert scores.extra["pass_0p5"].sum() > 0
    assert all(c.passed for c in verify_scores(output, tmp_path / "bad.h5"))
    score_file(TrainedDetector.from_run(run, "cpu"), tmp_path / "bad.h5", tmp_path / "b.h5", request=CHUNK)
    assert read_ledger(tmp_path / "b.h5")["n_failed"] == 2


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stopped_anywhere_it_ends_the_same(run, folder, tmp_path, whole, jobs):
    output = tmp_path / "a.h5"
    outputs = {folder / "signal.h5": output}
    for n in (1, 2, 0, 1) if jobs == 1 else (2,):
        with pytest.raises(Interrupted):
            score_files([run], outputs, CHUNK, jobs=jobs, stop=StopAfter(n), device="cpu")
        assert not output.exists()
        assert hidden(tmp_path) == [".a.h5.parts"]
    n_done = len(Workspace(output).done())
    assert 0 < n_done < 5 or jobs == 2
    seen = []
    score_files([run], outputs, CHUNK, jobs=jobs, device="cpu", progress=lambda *args: seen.append(args[1]))
    if jobs == 1:
        assert seen[0] == n_done * 50  # only what was missing
    assert_same(load_scores(output), whole)
    assert hidden(tmp_path) == []


def test_parts_of_other_options_are_not_used(run, folder, tmp_path):
    outputs = {folder / "signal.h5": tmp_path / "a.h5"}
    with pytest.raises(Interrupted):
        score_files([run], outputs, Request(chunk=20), stop=StopAfter(2), device="cpu")
    score_files([run], outputs, CHUNK, device="cpu")
    assert load_scores(tmp_path / "a.h5").entry.tolist() == list(range(N))


def test_damaged_part_is_made_anew(run, folder, tmp_path, whole):
    outputs = {folder / "signal.h5": tmp_path / "a.h5"}
    with pytest.raises(Interrupted):
        score_files([run], outputs, CHUNK, stop=StopAfter(2), device="cpu")
    part = tmp_path / ".a.h5.parts" / "part-00000000.npz"
    part.write_bytes(part.read_bytes()[:300])
    with pytest.raises(OutputError, match="part 0 is damaged; run the same command again"):
        score_files([run], outputs, CHUNK, device="cpu")
    score_files([run], outputs, CHUNK, device="cpu")
    assert_same(load_scores(tmp_path / "a.h5"), whole)


def test_only_what_is_missing_is_done_again(folder, run, tmp_path, capsys):
    files = [folder / "signal.h5", folder / "other.h5"]
    assert jetad("score", *files, "--run", run.path, "-o", "out") == 0
    first = (tmp_path / "out/signal.scores.h5").stat().st_mtime_ns
    os.remove("out/other.scores.h5")
    capsys.readouterr()
    assert jetad("score", *files, "--run", run.path, "-o", "out") == 0
    assert "230 of 230 jets scored (complete before)" in capsys.readouterr().out
    assert (tmp_path / "out/signal.scores.h5").stat().st_mtime_ns == first
    assert Path("out/other.scores.h5").exists()
    # another request is another result
    assert jetad("score", *files, "--run", run.path, "-o", "out", "--working-point", "0.1") == 1
    assert "--force" in capsys.readouterr().err
    assert jetad("score", *files, "--run", run.path, "-o", "out", "--working-point", "0.1", "--force") == 0
    assert "pass_0p1" in load_scores("out/signal.scores.h5").extra


@pytest.mark.parametrize("jobs", [1, 2])
def test_unreadable_files_are_listed_and_the_others_scored(folder, run, tmp_path, capsys, jobs):
    whole = (folder / "signal.h5").read_bytes()
    Path("cut.h5").write_bytes(whole[: len(whole) // 2])
    Path("empty.h5").touch()
    words = ["score", "cut.h5", "empty.h5", folder / "other.h5", "gone.h5", "-o", "out", "--jobs", jobs]
    assert jetad(*words, "--run", run.path, "--json") == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert [Path(f["input"]).name for f in result["files"]] == ["other.h5"]
    assert len(result["errors"]) == 3
    assert "3 of 4 files could not be scored" in captured.err
    for name in ("cut", "empty", "gone"):
        ledger = read_ledger(tmp_path / "out" / f"{name}.scores.h5")
        assert ledger["status"] == "failed"
        assert name in ledger["error"]
    assert sorted(p.name for p in Path("out").glob("*.h5")) == ["other.scores.h5"]
    assert hidden(Path("out")) == []


def command(folder: Path, *words: object) -> list[str]:
    run = [sys.executable, "-m", "jetad_cli.main", "score", "--run", folder / "run", "--device", "cpu"]
    return [str(w) for w in (*run, *words)]


def test_sigterm_exits_85_and_the_same_command_goes_on(folder, run, tmp_path, whole):
    words = command(folder, folder / "signal.h5", "-o", "a.h5", "--chunk", 3)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while len(Workspace(Path("a.h5")).done()) < 5 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    assert "the same command goes on" in " ".join(process.communicate(timeout=60)[1].split())
    assert process.returncode == 85
    assert not Path("a.h5").exists()
    score_files([run], {folder / "signal.h5": Path("a.h5")}, Request(chunk=3), device="cpu")
    np.testing.assert_allclose(load_scores("a.h5").score, whole.score, rtol=0, atol=1e-6)


def kill_after(words: list[str], ready) -> int:
    """Start a command and kill -9 it when it is ready; its exit code."""
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not ready() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    return process.wait()


def test_killed_it_leaves_no_partial_file(folder, run, tmp_path, whole):
    words = command(folder, folder / "signal.h5", "-o", "a.h5", "--chunk", 50)
    assert kill_after(words, lambda: len(Workspace(Path("a.h5")).done()) >= 2) in (0, -9)
    for path in tmp_path.glob("a.h5"):
        assert_same(load_scores(path), whole)
    score_files([run], {folder / "signal.h5": Path("a.h5")}, CHUNK, device="cpu", force=True)
    assert_same(load_scores("a.h5"), whole)
    assert hidden(tmp_path) == []


def test_killed_between_the_last_rename_and_the_end(run, folder, tmp_path, whole):
    outputs = {folder / "signal.h5": tmp_path / "a.h5"}
    score_files([run], outputs, CHUNK, device="cpu")
    workspace = Workspace(tmp_path / "a.h5")
    workspace.open("x")
    workspace.close()
    (account,) = score_files([run], outputs, CHUNK, device="cpu")
    assert account.reused
    assert account.scored == N
    assert hidden(tmp_path) == []
    with pytest.raises(OutputError, match="is complete; nothing is left to do"):
        score_files([run], outputs, CHUNK, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_ten_random_moments(folder, run, tmp_path, jobs):
    rng = np.random.default_rng(jobs)
    files = [folder / "signal.h5", folder / "other.h5", folder / "signal.root"]
    files = [Path(os.path.relpath(f)) for f in files]
    for k, file in enumerate(files):  # different names
        os.symlink(file, f"f{k}{file.suffix}")
    names = ["f0.h5", "f1.h5", "f2.root"]
    words = ["--chunk", 3, "--jobs", jobs]
    start = time.monotonic()
    subprocess.run(command(folder, *names, "-o", "wanted", *words), check=True, capture_output=True)
    needed = time.monotonic() - start
    for _ in range(10):
        process = subprocess.Popen(command(folder, *names, "-o", "out", *words), stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1.0) * needed)
        process.kill()
        process.wait()
        for path in Path("out").glob("f*.scores.*"):
            if path.suffix != ".json":
                assert_same(load_scores(path), load_scores(Path("wanted") / path.name))
    subprocess.run(command(folder, *names, "-o", "out", *words), check=True, capture_output=True)
    for path in Path("wanted").iterdir():
        if path.suffix != ".json":
            assert_same(load_scores(Path("out") / path.name), load_scores(path))
    assert sorted(os.listdir("out")) == sorted(os.listdir("wanted"))


def test_two_processes_do_not_make_the_same_file(run, folder, tmp_path):
    workspace = Workspace(tmp_path / "a.h5")
    workspace.open("x")
    with pytest.raises(OutputError, match="another process is making this file"):
        score_files([run], {folder / "signal.h5": tmp_path / "a.h5"}, CHUNK, device="cpu")
    workspace.close()
    score_files([run], {folder / "signal.h5": tmp_path / "a.h5"}, CHUNK, device="cpu")


@pytest.mark.parametrize("limit", [pytest.param(3000, marks=pytest.mark.slow), 9000])
def test_full_disk_is_a_clear_error(folder, run, tmp_path, whole, limit):
    """A limit on the size of files stands for the full disk: the same calls fail, with another number."""
    words = command(folder, folder / "signal.h5", "-o", "a.csv", "--chunk", 50)
    result = subprocess.run(
        words,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 1
    assert "cannot be written (File too large)" in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("a.csv").exists()
    score_files([run], {folder / "signal.h5": Path("a.csv")}, CHUNK, device="cpu")
    assert_same(load_scores("a.csv"), whole)


def test_file_that_changes_meanwhile_is_refused(run, folder, tmp_path):
    source = tmp_path / "in.h5"
    source.write_bytes((folder / "other.h5").read_bytes())

    def touch(*args: object) -> None:
        os.utime(source, ns=(1, 1))

    with pytest.raises(InputError, match="was changed while it was scored"):
        score_files([run], {source: tmp_path / "a.h5"}, CHUNK, device="cpu", progress=touch)
    assert not (tmp_path / "a.h5").exists()


def test_ledgers_are_no_score_files(run, folder, tmp_path, whole):
    assert sorted(p.name for p in tmp_path.iterdir()) == ["whole.h5", "whole.h5.ledger.json"]
    assert named_files([str(tmp_path / "whole*")]) == {"whole": [tmp_path / "whole.h5"]}
    assert named_files([str(p) for p in sorted(tmp_path.iterdir())]) == {"whole": [tmp_path / "whole.h5"]}


# --- several runs, requests ------------------------------------------------------------------------


def test_runs_side_by_side(run, folder, tmp_path, whole):
    outputs = {folder / "signal.h5": tmp_path / "a.root"}
    score_files([run, run], outputs, CHUNK, device="cpu")
    scores = load_scores(tmp_path / "a.root")
    for name in ("score", "score_run", "score_run_2"):
        np.testing.assert_array_equal(scores.columns()[name], whole.score)
    np.testing.assert_array_equal(scores.extra["background_efficiency_run_2"], whole.background_efficiency)
    assert set(json.loads(scores.metadata["runs"])) == {"run", "run_2"}


def test_requests_are_checked(run, folder, tmp_path):
    for cut in ("jet_pt >", "jet_pt > 1 > ", "__import__('os')"):
        with pytest.raises(ConfigError, match="--select"):
            Request(select=cut)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Request(working_points=(2.0,))
    with pytest.raises(InputError, match=r"no column 'weigth'; closest: .*ttv"):
        score_file(
            TrainedDetector.from_run(run, "cpu"),
            folder / "signal.h5",
            tmp_path / "a.h5",
            request=Request(keep=("weigth",)),
        )
    with pytest.raises(ConfigError, match="in every score file already"):
        score_file(
            TrainedDetector.from_run(run, "cpu"),
            folder / "signal.h5",
            tmp_path / "a.h5",
            request=Request(keep=("jet_pt",)),
        )
    assert not (tmp_path / "a.h5").exists()
    score_file(
        TrainedDetector.from_run(run, "cpu"),
        folder / "signal.h5",
        tmp_path / "a.h5",
        request=Request(max_jets=77),
    )
    assert len(load_scores(tmp_path / "a.h5")) == 77
    assert problems(tmp_path / "a.h5", folder / "signal.h5") == []


# --- verify, merge ---------------------------------------------------------------------------------


def problems(*args, **kwargs) -> list[str]:
    return [check.name for check in verify_scores(*args, **kwargs) if check.passed is False]


def test_verify_finds_what_is_wrong(run, folder, tmp_path, whole):
    source = folder / "signal.h5"
    detector = TrainedDetector.from_run(run, "cpu")
    assert problems("whole.h5", source, detector=detector) == []
    assert problems("whole.h5", folder / "other.h5") == ["same input file", "alignment of rows"]
    swapped = np.arange(N)
    swapped[[10, 11]] = 11, 10
    for name, changed in {
        "rows": whole[swapped],
        "score": dataclasses.replace(whole, score=whole.score[swapped]),
        "cut": whole[:-1],
        "keys": dataclasses.replace(whole, entry=whole.entry[::-1]),
    }.items():
        changed.save(f"{name}.h5")
        found = problems(f"{name}.h5", source, detector=detector)
        assert "score file as written" in found, name
        assert ("alignment of rows" in found) == (name in ("rows", "keys", "cut")), name
        assert ("account" in found) == (name == "cut"), name
        assert ("scores of this run" in found) == (name in ("rows", "score")), name
    # without any digest alignment still tells
    Scores(**{**whole.columns(), "entry": whole.entry + 1}).save("bare.h5")
    assert problems("bare.h5", source) == ["alignment of rows"]
    assert jetad("verify", "whole.h5", source, "--json") == 0
    assert jetad("verify", "rows.h5", source) == 1


def test_merge_makes_the_whole_and_refuses_less(run, folder, tmp_path, whole):
    parts = []
    for k in range(3):
        words = ["score", folder / "signal.h5", "--run", run.path, "--part", f"{k + 1}/3", "--chunk", 50]
        assert jetad(*words) == 0
        parts.append(Path(f"signal.scores.part-{k + 1}-of-3.h5"))
        assert problems(parts[-1], folder / "signal.h5") == []
    assert jetad("merge", *sorted(Path().glob("signal.scores.part*")), "-o", "all.root") == 0
    np.testing.assert_allclose(load_scores("all.root").score, whole.score, rtol=0, atol=1e-6)
    assert load_scores("all.root").metadata["n_read"] == N
    assert problems("all.root", folder / "signal.h5") == []
    with pytest.raises(InputError, match="rows 76 to 153 are missing, between"):
        merge_scores([parts[2], parts[0]], "b.h5")
    with pytest.raises(InputError, match="rows 0 to 76 are missing"):
        merge_scores(parts[1:], "b.h5")
    with pytest.raises(InputError, match="rows 153 to 230 are missing, after"):
        merge_scores(parts[:2], "b.h5")
    with pytest.raises(InputError, match=r"overlap: both hold rows 0 to 76"):
        merge_scores([parts[0], *parts], "b.h5")
    score_file(TrainedDetector.from_run(run, "cpu"), folder / "other.h5", "other.h5")
    with pytest.raises(InputError, match="no parts of one score file"):
        merge_scores([*parts, "other.h5"], "b.h5")
    changed = load_scores(parts[1])
    dataclasses.replace(changed, score=changed.score + 1).save(parts[1], force=True)
    with pytest.raises(InputError, match="was changed after it was made"):
        merge_scores(parts, "b.h5")
    assert not Path("b.h5").exists()


# --- copies, RNTuple -------------------------------------------------------------------------------


def test_copy_has_all_branches_and_the_scores(run, folder, tmp_path, whole):
    source = folder / "signal.root"
    assert jetad("score", source, "--run", run.path, "--copy", "-o", "c.root", "--working-point", "0.5") == 0
    with uproot.open(source) as before, uproot.open("c.root") as after:
        old, new = before["tree"], after["tree"]
        for name in old.keys(recursive=False):
            assert ak.array_equal(old[name].array(), new[name].array(), dtype_exact=False), name
        np.testing.assert_allclose(new["jetad_score"].array(library="np"), whole.score, rtol=1e-4, atol=1e-4)
        p = new["jetad_background_efficiency"].array(library="np")
        np.testing.assert_array_equal(new["jetad_pass_0p5"].array(library="np"), p <= 0.5)
        assert json.loads(str(after["jetad_provenance"]))["n_read"] == N
    again = readers.read("c.root")  # still a file of jets
    np.testing.assert_array_equal(again.n_constituents, readers.read(source).n_constituents)
    assert jetad("score", folder / "signal.h5", "--run", run.path, "--copy", "-o", "d.root") == 2
    assert jetad("score", "c.root", "--run", run.path, "--copy", "-o", "e.root") == 1  # has scores already
    assert not Path("e.root").exists()


def test_copy_of_events_has_lists_of_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    n_jets = rng.integers(0, 4, 300)
    jets = ak.unflatten(rng.normal(size=n_jets.sum()).astype("f4"), n_jets)
    with uproot.recreate("events.root") as file:
        file.mktree("Events", {"run": "i4", "Jet_pt": jets.type.content})
        file["Events"].extend({"run": np.arange(300, dtype="i4"), "Jet_pt": jets})
    entry, position = np.repeat(np.arange(300), n_jets), ak.flatten(ak.local_index(jets)).to_numpy()
    scores = Scores(score=ak.flatten(jets).to_numpy() + 1, entry=entry, jet=position)
    parts = (scores[i : i + 37] for i in range(0, len(scores), 37))
    source, how = Path("events.root"), {"dataset": "Events", "provenance": "{}"}
    copy_with_scores(source, tmp_path / "c.root", parts, per_event=True, **how)
    with uproot.open("c.root:Events") as tree:
        assert tree["jetad_score"].array().tolist() == (jets + 1).tolist()
        assert tree["Jet_pt"].array().tolist() == jets.tolist()
    with pytest.raises(InputError, match="do not have one score each"):
        copy_with_scores(source, tmp_path / "d.root", iter([scores]), per_event=False, **how)


def test_rntuple_reads_back_the_same(run, folder, tmp_path, whole):
    words = ["score", folder / "signal.h5", "--run", run.path, "--output-format", "rntuple", "--chunk", 50]
    assert jetad(*words, "-o", "a.root") == 0
    with uproot.open("a.root") as file:
        assert file["jetad"].classname == "ROOT::RNTuple"
    assert_same(load_scores("a.root"), whole)
    assert problems("a.root", folder / "signal.h5") == []
    assert jetad(*words, "-o", "a.h5") == 2


# --- what is recognised again ----------------------------------------------------------------------


def fingerprint_of_0_1(facts: dict, last_row: int, request: Request) -> str:
    """As 0.1 wrote it, by the text of its objects."""
    known = sorted((key, value) for key, value in facts.items() if key != "input")
    return hashlib.sha256(repr([known, last_row, request, None]).encode()).hexdigest()


@pytest.mark.parametrize("request_", [CHUNK, Request(chunk=50, max_jets=220, select="jet_pt > 1")])
def test_parts_and_outputs_of_0_1_are_recognised(run, folder, tmp_path, monkeypatch, request_):
    written, seen = [], []

    def both(facts, last_row, request, *, known):
        found = fingerprint_of(facts, last_row, request, known=known)
        assert found.before == fingerprint_of_0_1(facts, last_row, request)
        written.append(found.written)
        return found._replace(written=found.before) if not seen else found

    monkeypatch.setattr("jetad.production.job.fingerprint_of", both)
    outputs = {folder / "signal.h5": tmp_path / "x.h5"}
    with pytest.raises(Interrupted):
        score_files([run], outputs, request_, stop=StopAfter(3))
    plan = tmp_path / ".x.h5.parts" / "plan"
    times = {p.name: p.stat().st_mtime_ns for p in plan.parent.glob("part-*.npz")}
    assert times
    assert plan.read_text() != written[0]
    seen.append("now")
    with pytest.raises(Interrupted):
        score_files([run], outputs, request_, stop=StopAfter(1))
    assert plan.read_text() == written[0]
    assert times.items() <= {p.name: p.stat().st_mtime_ns for p in plan.parent.glob("part-*.npz")}.items()
    score_files([run], outputs, request_)
    ledger = tmp_path / "x.h5.ledger.json"
    values = json.loads(ledger.read_text())
    assert values["fingerprint"] == written[0]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    old = fingerprint_of(values_of_plan(values), request_.max_jets or N, request_, known=True).before
    for fingerprint, told in ((old, "exists already and is complete"), ("0" * 64, "exists already")):
        ledger.write_text(json.dumps({**values, "fingerprint": fingerprint}))
        with pytest.raises(OutputError, match=told) as error:
            score_files([run], outputs, request_)
        assert ("is complete" in str(error.value)) == (fingerprint == old)


def values_of_plan(ledger: dict) -> dict:
    """The facts of a ledger that were known before the first part."""
    later = (
        "status", "n_read", "n_scored", "n_selected_out", "n_failed", "digest", "n_parts", "fingerprint",
        "input_mtime_ns", "output", "output_size", "format",
    )  # fmt: skip
    return {key: value for key, value in ledger.items() if key not in later}


def test_a_setting_of_a_later_version_changes_no_fingerprint():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(Request):
        more: int = 0

    facts = {"input": "a.h5", "input_size": 3, "jetad": "0.1"}
    first = fingerprint_of(facts, 10, CHUNK, known=True)
    assert fingerprint_of({**facts, "input": "b.h5"}, 10, Later(chunk=50), known=True) == first
    others = [
        fingerprint_of({**facts, "input_size": 4}, 10, CHUNK, known=True),
        fingerprint_of(facts, 11, CHUNK, known=True),
        fingerprint_of(facts, 10, Later(chunk=50, more=1), known=True),
        fingerprint_of(facts, 10, Request(chunk=51), known=True),
        fingerprint_of(facts, 10, Request(chunk=50, options={"units": "GeV"}), known=True),
        fingerprint_of(facts, 10, CHUNK, known=False),
        fingerprint_of(facts, 10, CHUNK, known=False),
    ]
    assert len({first.written, *(other.written for other in others)}) == 8
