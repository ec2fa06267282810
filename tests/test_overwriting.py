"""No command writes over what it reads: other spelling, symbolic link, hard link, another of its outputs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.detector import TrainedDetector
from jetad.errors import OutputError
from jetad.production import merge_scores, score_file
from jetad.runs import Run
from jetad.writers import write_jets


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    """A working folder with a run, jets and their scores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JETAD_RUN", "run")
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    shutil.copytree(quick_runs / "run", "run")
    write_jets(toy_jets(60, 2, mean=60, labels=1), "top.h5")
    for name in ("qcd", "top"):
        score_file(TrainedDetector.from_run(Run.open("run"), "cpu"), f"{name}.h5", f"{name}.scores.h5")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    """Every file that was there, by its name."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


SCORES = ["-b", "qcd.scores.h5", "-s", "top.scores.h5"]
JETS = ["-b", "qcd.h5", "-s", "top.h5"]

# command, what it reads, where it would write; the output has the name of the second by a link
CASES = {
    "score": (["score", "top.h5", "-o"], "top.h5", "{}"),
    "score spelled otherwise": (["score", "./run/../top.h5", "-o"], "top.h5", "{}"),
    "score with absolute name": (["score", "{folder}/top.h5", "-o"], "top.h5", "{}"),
    "score into a folder": (["score", "top.h5", "top.scores.h5", "-o"], "top.scores.h5", "."),
    "score --jobs": (["score", "top.h5", "--jobs", "2", "-o"], "top.h5", "{}"),
    "score tree": (["score", "top.h5:table", "-o"], "top.h5", "{}"),
    "merge": (["merge", "top.scores.h5", "-o"], "top.scores.h5", "{}"),
    "merge pattern": (["merge", "qcd.scores.h5", "top.scores.h5", "-o"], "qcd.scores.h5", "{}"),
    "roc --json": (["roc", *SCORES, "--json"], "qcd.scores.h5", "{}"),
    "roc named": (["roc", "-b", "qcd.scores.h5", "-s", "x=top.scores.h5", "--json"], "top.scores.h5", "{}"),
    "roc pattern": (["roc", "-b", "qcd.s*.h5", "-s", "top.scores.h5", "--json"], "qcd.scores.h5", "{}"),
    "roc -o": (["roc", "-b", "qcd.scores.png", "-s", "top.scores.h5", "-o"], "qcd.scores.png", "qcd.scores"),
    "inspect": (["inspect", "qcd.png", "--plot"], "qcd.png", "{}"),
    "inspect list": (["inspect", "@list.png", "--plot"], "list.png", "{}"),
    "inspect mapping": (["inspect", "qcd.h5", "--mapping", "map.png", "--plot"], "map.png", "{}"),
    "plot scores": (["plot", "scores", "qcd.png", "-o"], "qcd.png", "qcd.pdf"),
    "plot sculpting": (["plot", "sculpting", "qcd.scores.h5", "--json"], "qcd.scores.h5", "{}"),
    "plot --jets": (
        ["plot", "sculpting", "qcd.scores.h5", "--jets", "qcd.h5", "--json"], "qcd.h5", "{}",
    ),
    "plot anomalous": (["plot", "anomalous", "top.h5", "--json"], "run/model.safetensors", "{}"),
    "plot history": (["plot", "history", "history.png", "-o"], "history.png", "history"),
    "report": (["report", *JETS, "-o"], "qcd.h5", "{}"),
    "report --pdf": (["report", *JETS, "-o", "page.html", "--pdf"], "top.h5", "{}"),
    "report of a run": (["report", *JETS, "--run", "run", "-o"], "run/history.jsonl", "{}"),
    "report of a study": (["report", *JETS, "--study", "study", "-o"], "study/two_way.json", "{}"),
    "export over the weights": (["export", "--run", "run", "-o"], "run/model.safetensors", "{}"),
    "export --check": (["export", "--check", "qcd.h5", "-o"], "qcd.h5", "{}"),
    "robustness": (["robustness", "-b", "qcd.png", "-s", "top.h5", "-o"], "qcd.png", "qcd.pdf"),
    "robustness --run": (
        ["robustness", *JETS, "--run", "run", "-o"], "run/provenance.json", "run/provenance",
    ),
    "two-way": (["two-way", "-b", "qcd=study/roc.png", "-s", "top.h5", "-o"], "study/roc.png", "study"),
    "two-way numbers": (
        ["two-way", "-b", "qcd=study/two_way.json", "-s", "top.h5", "-o"], "study/two_way.json", "study",
    ),
    "contamination": (
        ["contamination", "-b", "qcd.h5", "-s", "top=study/contamination.json", "-o"],
        "study/contamination.json", "study",
    ),
    "simulate": (["simulate", "qcd", "-n", "1", "--match-pt", "qcd.h5", "-o"], "qcd.h5", "{}"),
}  # fmt: skip


# where the command chooses the name of the output, there is no other name to try
LINKS = [
    (name, link)
    for name, (_, _, where) in CASES.items()
    for link in ((None, "symbolic", "hard") if where == "{}" else (None,))
]


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_inputs_are_never_written_over(folder, capsys, name, link):
    words, read, where = CASES[name]
    Path("study").mkdir()
    Path("list.png").write_text("qcd.h5\n")
    Path("map.png").write_text("constituents: {pt: a, eta: b, phi: c}\n")
    for copy in ("qcd.png", "study/roc.png", "study/two_way.json", "study/contamination.json"):
        shutil.copy("qcd.h5", copy)
    shutil.copy("qcd.scores.h5", "qcd.scores.png")
    shutil.copy("run/history.jsonl", "history.png")
    output = where.format(read)
    if link is not None:
        output = f"link{Path(read).suffix}"
        if link == "symbolic":
            Path(output).symlink_to(read)
        else:
            os.link(read, output)
    before = content(folder)
    assert jetad(*(word.format(folder=folder) for word in words), output, "--force") == 1
    said = capsys.readouterr().err
    assert "is read by this command" in said
    assert read in said
    assert "unexpected" not in said
    assert content(folder) == before


def test_bench_keeps_its_samples(folder, capsys):
    Path("bench").mkdir()
    shutil.copy("qcd.h5", "bench/bench.json")
    words = ["bench", "--sample", "qcd=bench/bench.json", "top=top.h5", "--train", "qcd", "-d", "mass"]
    assert jetad(*words, "--n-train", "100") == 1
    assert "bench/bench.json: is read by this command" in capsys.readouterr().err
    assert Path("bench/bench.json").read_bytes() == Path("qcd.h5").read_bytes()


def test_calibrate_keeps_what_it_reads(folder, capsys):
    os.replace("qcd.h5", "run/calibration.json")
    assert jetad("calibrate", "--run", "run", "--background", "run/calibration.json") == 1
    assert "is read by this command" in capsys.readouterr().err


def test_hepdata_tables_are_no_inputs(folder, capsys):
    Path("tables").mkdir()
    shutil.copy("qcd.scores.h5", "tables/submission.yaml")
    words = ["-b", "tables/submission.yaml", "-s", "top.scores.h5", "--hepdata", "tables", "--force"]
    before = content(folder)
    assert jetad("roc", *words) == 1
    assert "tables/submission.yaml: is read by this command" in capsys.readouterr().err
    assert content(folder) == before


@pytest.mark.parametrize("inside", ["-b runs/x/jets.h5", "--config runs/x/config.yaml", "--encoder runs/x"])
def test_a_training_removes_no_inputs(folder, quick_runs, capsys, inside):
    """--force replaces a run directory; not one that holds what the new training reads."""
    shutil.copytree(quick_runs / "images", "runs/x")
    shutil.copy("qcd.h5", "runs/x/jets.h5")
    before = content(folder)
    option, file = inside.split()
    words = [option, file] if option == "-b" else ["-b", "qcd.h5", option, file]
    train = ["train", *words, "-o", "runs/x", "--force"]
    quick = QUICK if option == "-b" else ["--method", "ae"] if option == "--encoder" else []
    for more in (["--check"], []):
        assert jetad(*train, *quick, *more) == 1
        assert "which is read by this command, and would be removed" in capsys.readouterr().err
        assert content(folder) == before


def test_a_submitted_scoring_is_checked(folder, capsys):
    words = ["submit", "slurm", "--dry-run", "--", "score", "top.h5", "-o", "top.h5", "--force"]
    assert jetad(*words) == 1
    assert "top.h5: is read by this command" in capsys.readouterr().err


def test_from_python(folder):
    before = content(folder)
    detector = TrainedDetector.from_run(Run.open("run"), "cpu")
    with pytest.raises(OutputError, match="is read by this command"):
        score_file(detector, "top.h5", folder / "top.h5", force=True)
    with pytest.raises(OutputError, match="is read by this command"):
        merge_scores(["top.scores.h5"], "./top.scores.h5", force=True)
    assert content(folder) == before


def test_names_of_one_file(tmp_path, monkeypatch):
    from jetad.files import refuse_inputs, same_file

    monkeypatch.chdir(tmp_path)
    Path("a").write_text("")
    Path("b").write_text("")
    os.link("a", "hard")
    Path("soft").symlink_to("a")
    Path("nowhere").symlink_to("gone")
    for name in ("./a", str(tmp_path / "a"), "hard", "soft", "../" + tmp_path.name + "/a"):
        assert same_file("a", name), name
    assert same_file("nowhere", "gone")
    assert not same_file("a", "b")
    assert not same_file("a", "gone")
    refuse_inputs(["b", "new"], ["a", "soft", "gone"])
    with pytest.raises(OutputError, match=r"^hard: is read by this command \(as soft\) and would be"):
        refuse_inputs(["new", "hard"], ["soft"])


@pytest.mark.parametrize(
    "words",
    [
        ["score", "qcd.h5", "--run", "run", "-o", "http://server/folder"],
        ["score", "qcd.h5", "--run", "run", "-o", "root://server//file.root"],
        ["score", "qcd.h5", "--run", "run", "-o", "http://["],
        ["train", "-b", "qcd.h5", "-o", "https://server/run"],
        ["inspect", "qcd.h5", "--plot", "s3://bucket/x.pdf"],
        ["export", "--run", "run", "-o", "http://server/model.onnx"],
    ],
)
def test_a_server_is_no_place_for_outputs(folder, capsys, words):
    before = sorted(Path.cwd().iterdir())
    assert jetad(*words) == 1
    assert "writes to this machine and not to a server" in capsys.readouterr().err
    assert sorted(Path.cwd().iterdir()) == before
