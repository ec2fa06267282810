"""Nothing is written, emptied or removed through a link at a name that jetad chose."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.batch import Job, submit
from jetad.batch.slurm import Slurm, SlurmOptions
from jetad.batch.tasks import train_tasks
from jetad.detector import TrainedDetector
from jetad.errors import Interrupted, JetadError, OutputError
from jetad.production import Request, score_file, score_files
from jetad.production.workspace import Workspace
from jetad.runs import Run
from jetad.writers import write_jets

AE = ["--method", "ae", "--representation", "image", *QUICK[:2], *QUICK[4:]]


@pytest.fixture
def folder(folder):
    """That of all tests, with more jets and ``precious``, which belongs to somebody else."""
    write_jets(toy_jets(60, 2, labels=1), "top.h5")
    Path("precious").mkdir()
    for name in ("thesis.tex", ".hidden", "merged.h5", "part-00000001.npz", "plan", "lock"):
        Path("precious", name).write_text(f"the only copy of {name}")
    return folder


def kept() -> dict[str, str]:
    return {str(p): p.read_text() for p in sorted(Path("precious").rglob("*")) if p.is_file()}


@pytest.mark.parametrize("target", ["precious", "gone"])
@pytest.mark.parametrize("options", [[], ["--force"], ["--jobs", "2"], ["--part", "1/2"]])
def test_a_link_at_the_name_of_the_workspace(folder, capsys, target, options):
    before = kept()
    Path(".o.h5.parts").symlink_to(target)
    assert jetad("score", "top.h5", "--run", "run", "-o", "o.h5", *options) == 1
    said = capsys.readouterr().err
    assert f".o.h5.parts: is a symbolic link to {target}" in said
    assert kept() == before
    assert not Path("gone").exists()
    assert not Path("o.h5").exists()


def test_a_link_at_the_name_of_the_workspace_of_a_complete_file(folder):
    outputs = {Path("top.h5"): Path("a.h5"), Path("qcd.h5"): Path("b.h5")}
    score_files([Run.open("run")], outputs)
    before = kept()
    for name in (".a.h5.parts", ".b.h5.parts"):
        Path(name).symlink_to("precious")
    assert all(account.reused for account in score_files([Run.open("run")], outputs))
    assert kept() == before


@pytest.mark.parametrize("name", ["lock", "plan", "part-00000000.npz", "merged.h5", ".part-1.ab.tmp.npz"])
@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_links_inside_the_workspace(folder, capsys, name, link):
    before = kept()
    Path(".o.h5.parts").mkdir()
    if link == "symbolic":
        Path(".o.h5.parts", name).symlink_to(folder / "precious" / "thesis.tex")
    else:
        os.link("precious/thesis.tex", f".o.h5.parts/{name}")
    code = jetad("score", "top.h5", "--run", "run", "-o", "o.h5")
    said = capsys.readouterr().err
    assert kept() == before
    if name == "lock":
        assert code == 1
        assert ".o.h5.parts/lock: is a " in said
    else:  # the link itself was a leftover
        assert code == 0
        assert not Path(".o.h5.parts").exists()


@pytest.mark.parametrize("name", ["thesis.tex", ".bashrc", "part-x.npz", "parts/a"])
def test_a_workspace_with_files_of_others_is_not_emptied(folder, capsys, name):
    path = Path(".o.h5.parts", name)
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert jetad("score", "top.h5", "--run", "run", "-o", "o.h5", "--force") == 1
    assert "which jetad did not make" in capsys.readouterr().err
    assert path.read_text() == "mine"
    Workspace(Path("o.h5")).remove()
    assert path.read_text() == "mine"


def test_a_link_that_comes_while_a_file_is_scored(folder):
    class Stop:
        n = 0

        def __bool__(self) -> bool:
            self.n += 1
            if self.n == 3:
                shutil.rmtree(".o.h5.parts")
                Path(".o.h5.parts").symlink_to("precious")
            return False

    before = kept()
    request = Request(chunk=10)
    with pytest.raises(OutputError, match=r"\.o\.h5\.parts"):
        score_files([Run.open("run")], {Path("top.h5"): Path("o.h5")}, request, stop=Stop())
    assert kept() == before


@pytest.mark.parametrize("inside", ["a training", "nothing", "other files"])
def test_a_run_directory_that_is_a_link(folder, capsys, inside):
    if inside == "a training":
        shutil.copytree("run", "precious/run")
    elif inside == "other files":
        shutil.copytree("precious", "precious2")
        os.rename("precious2", "precious/run")
    else:
        Path("precious/run").mkdir()
    before = sorted(map(str, Path("precious").rglob("*")))
    Path("x").symlink_to("precious/run")
    assert jetad("train", "-b", "qcd.h5", *AE, "-o", "x", "--force") == 1
    said = capsys.readouterr().err
    assert "x: is a symbolic link to precious/run" in said or "other files in it" in said
    assert "unexpected" not in said
    assert sorted(map(str, Path("precious").rglob("*"))) == before
    assert Path("x").is_symlink()


def test_latest_is_a_link_that_is_replaced_and_never_followed(folder, capsys):
    Path("runs").mkdir()
    Path("runs/latest").symlink_to(folder / "precious")
    before = kept()
    assert jetad("train", "-b", "qcd.h5", *AE, "-o", "runs/latest", "--force") == 1
    capsys.readouterr()
    assert jetad("train", "-b", "qcd.h5", *AE, "-o", "runs/a") == 0
    assert os.readlink("runs/latest") == "a"
    assert jetad("train", "-b", "qcd.h5", *AE, "-o", "runs/latest", "--force") == 1
    assert "runs/latest: is a symbolic link to a" in capsys.readouterr().err
    assert Run.open("runs/a").finished
    assert kept() == before


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_link_at_the_history_of_a_run(folder, link):
    Path("run/history.jsonl").unlink()
    if link == "symbolic":
        Path("run/history.jsonl").symlink_to(folder / "precious/thesis.tex")
    else:
        os.link("precious/thesis.tex", "run/history.jsonl")
    before = kept()
    with pytest.raises(
        OutputError, match=f"run/history.jsonl: is a {'symbolic' if link[0] == 's' else 'hard'}"
    ):
        Run.open("run").append_history({"step": 1})
    assert kept() == before


def test_links_in_the_folder_of_a_study(folder, capsys):
    """An unfinished training of the same study, elsewhere: it is not gone on with through the link."""
    Path("precious/run").mkdir()
    words = ["bench", "--sample", "qcd=qcd.h5", "top=top.h5", "--train", "qcd", "-d", "mass"]
    words += ["--n-train", "100"]
    for name in ("rows", "runs", "runs/mass-qcd-1"):
        shutil.rmtree("bench", ignore_errors=True)
        Path("bench", name).parent.mkdir(parents=True)
        Path("bench", name).symlink_to(folder / "precious/run")
        assert jetad(*words) == 1
        said = capsys.readouterr().err
        assert f"bench/{name}: is a symbolic link" in said
        assert not list(Path("precious/run").iterdir())
    Path("two-way").mkdir()
    Path("two-way/qcd").symlink_to(folder / "precious/run")
    assert jetad("two-way", "-b", "qcd.h5", "-s", "top.h5", "--method", "mass") == 1
    assert "two-way/qcd: is a symbolic link" in capsys.readouterr().err
    assert not list(Path("precious/run").iterdir())


def test_a_link_in_the_folder_of_an_export(folder, capsys):
    pytest.importorskip("onnxruntime")
    Path("model").mkdir()
    Path("model/1").symlink_to(folder / "precious")
    Path("precious/model.onnx").write_text("precious")
    before = kept()
    words = ["export", "--run", "run", "-o", "model", "--target", "triton", "--force"]
    assert jetad(*words) == 1
    assert "model/1: is a symbolic link" in capsys.readouterr().err
    assert kept() == before


def test_the_folder_of_a_job_is_not_removed_through_a_link(folder, monkeypatch, capsys):
    def job() -> Job:
        return Job.new(
            Path("jobs/x"), scheduler="slurm", kind="train", words=["train"],
            tasks=train_tasks(["train"], name="x"), options=SlurmOptions(), site="", prefix=["jetad"],
        )  # fmt: skip

    Path("jobs").mkdir()
    before = kept()
    for target in ("precious", "gone"):
        Path("jobs/x").symlink_to(folder / target)
        with pytest.raises(OutputError, match="jobs/x: exists already"):
            job().create()
        assert not Path("gone").exists()
        Path("jobs/x").unlink()
    made = job()
    made.create()
    os.rename("jobs/x", "precious/x")
    Path("jobs/x").symlink_to(folder / "precious/x")
    monkeypatch.setenv("PATH", str(folder))  # no sbatch: the folder of the job would be removed
    with pytest.raises(JetadError):
        submit(made, Slurm(), [1], SlurmOptions())
    # a job that was never submitted is not removed where submitting it again fails
    assert jetad("resubmit", "precious/x") == 1
    assert "unexpected" not in capsys.readouterr().err
    assert Path("precious/x/job.json").is_file()
    shutil.rmtree("precious/x")
    assert kept() == before


def test_a_link_to_nothing_is_an_output_that_exists(folder, capsys):
    Path("o.h5").symlink_to("gone")
    assert jetad("score", "top.h5", "--run", "run", "-o", "o.h5") == 1
    assert "o.h5: exists already" in capsys.readouterr().err
    assert jetad("score", "top.h5", "--run", "run", "-o", "o.h5", "--force") == 0
    assert not Path("o.h5").is_symlink()
    assert not Path("gone").exists()


def test_interrupted_scoring_still_goes_on(folder):
    class Stop:
        n = 3

        def __bool__(self) -> bool:
            self.n -= 1
            return self.n <= 0

    run, outputs, request = Run.open("run"), {Path("top.h5"): Path("o.h5")}, Request(chunk=10)
    with pytest.raises(Interrupted):
        score_files([run], outputs, request, stop=Stop())
    assert len(Workspace(Path("o.h5")).done()) > 0
    score_files([run], outputs, request)
    score_file(TrainedDetector.from_run(run, "cpu"), "top.h5", "whole.h5", request=request)
    assert not Path(".o.h5.parts").exists()
