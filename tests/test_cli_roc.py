"""jetad roc and jetad plot from the command line: results on stdout, words on stderr, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from jetad.plots import plot_roc
from jetad.scores import Scores
from jetad_cli.commands.cmd_roc import _ratio_bands, curves_of
from jetad_cli.main import cli, main


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Score files in the working directory: qcd, top, svj (one class each), mix (both), failed (no score)."""

    def make(n: int, mean: float, label: int, seed: int, model: str = "aaaa") -> Scores:
        rng = np.random.default_rng(seed)
        return Scores(
            score=rng.normal(mean, 1, n),
            label=np.full(n, label),
            jet_pt=rng.uniform(500, 600, n),
            jet_mass=rng.normal(80 + 40 * label, 30, n),
            metadata={"model_hash": model},
        )

    qcd, top = make(800, 0, 0, 1), make(500, 2, 1, 2)
    qcd.save(tmp_path / "qcd.scores.h5")
    top.save(tmp_path / "top.scores.root")
    make(300, 1, 1, 3).save(tmp_path / "svj.scores.h5")
    Scores.concatenate([qcd, top]).save(tmp_path / "mix.scores.csv")
    Scores(score=[np.nan, np.nan], metadata={"model_hash": "aaaa"}).save(tmp_path / "failed.scores.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(args))
    if code == 0:
        assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def exit_of(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(args))
        raise SystemExit(0)  # a command that ends well returns
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_table(files: Path) -> None:
    result = run("roc", "--background", "qcd.scores.h5", "--signal", "top.scores.root", "dark=svj.scores.h5")
    lines = result.stdout.splitlines()
    assert lines[0] == "background: 800 jets"
    assert lines[2].split("  ")[0] == "signal"
    assert lines[3].split()[:2] == ["top", "500"]
    assert lines[4].split()[:2] == ["dark", "300"]
    assert "±" in lines[3]
    assert max(map(len, lines)) <= 80
    assert [line.split("  ")[0] for line in lines].count("top") == 3  # what does not fit comes below
    assert result.stderr == ""


def test_outputs(files: Path) -> None:
    result = run("roc", "-b", "qcd.scores.h5", "-s", "top.scores.root", "-o", "roc.pdf", "--json", "roc.json")
    assert result.stderr.splitlines() == ["wrote roc.json", "wrote roc.pdf, roc.png"]
    found = json.loads((files / "roc.json").read_text())
    assert found["signals"]["top"]["n"] == 500
    assert {path.name for path in files.iterdir() if path.name.startswith(("roc", "."))} == {
        "roc.json", "roc.pdf", "roc.png",
    }  # fmt: skip


def test_json_on_stdout(files: Path) -> None:
    for args in (["--json"], ["--json", "-"]):
        result = run("roc", "mix.scores.csv", *args)
        found = json.loads(result.stdout)
        assert list(found["signals"]) == ["mix"]
        assert found["background"]["n"] == 800
        assert result.stderr == ""


def test_all_ways_to_name_files_agree(files: Path) -> None:
    ways = [
        ["-b", "qcd.scores.h5", "-s", "top.scores.root"],
        ["--background=qcd.scores.h5", "--signal=top=top.scores.root"],
        ["--background", "q*.h5", "--signal", "top=t*.root"],
        ["-b", "mix.scores.csv", "-s", "top=mix.scores.csv"],
        ["qcd.scores.h5", "top.scores.root"],
    ]
    tables = [run("roc", *way).stdout for way in ways]
    assert len(set(tables)) == 1
    assert run("roc", "-b", "mix.scores.csv").stdout == run("roc", "mix.scores.csv").stdout


def test_roles_win_over_labels(files: Path) -> None:
    """A detector trained on top jets finds QCD jets anomalous: who means it can say so."""
    result = run("roc", "-b", "top.scores.root", "-s", "qcd.scores.h5", "--allow", "labels", "--json")
    there = json.loads(run("roc", "-s", "top.scores.root", "-b", "qcd.scores.h5", "--json").stdout)
    back = json.loads(result.stdout)
    assert back["signals"]["qcd"]["auc"] == pytest.approx(1 - there["signals"]["top"]["auc"], abs=1e-12)


def test_many_files_of_one_class(files: Path) -> None:
    result = run(
        "roc", "-b", "qcd.scores.h5", "qcd.scores.h5", "-s", "a=top.scores.root", "a=svj.scores.h5", "--json"
    )
    found = json.loads(result.stdout)
    assert found["background"]["n"] == 800  # named twice, read once
    assert "qcd.scores.h5: named twice, read once" in result.stderr
    assert found["signals"]["a"]["n"] == 800
    (files / "other").mkdir()
    (files / "other" / "top.scores.root").write_bytes((files / "top.scores.root").read_bytes())
    result = run("roc", "-b", "qcd.scores.h5", "-s", "top.scores.root", "other/top.scores.root", "--json")
    assert list(json.loads(result.stdout)["signals"]) == [f"{files.name}/top", "other/top"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["-b", "none.h5", "-s", "top.scores.root"], 1, "none.h5: no such file"),
        (["-b", "none*.h5", "-s", "top.scores.root"], 1, "none*.h5: no file matches"),
        (["-b", "qcd.scores.h5"], 1, "no signal jets among the labels (found 800 background)"),
        (["top.scores.root"], 1, "no background jets among the labels (found 500 signal)"),
        (["failed.scores.h5"], 1, "no background jets among the labels (found 2 of unknown label)"),
        (["-b", "failed.scores.h5", "-s", "top.scores.root"], 1, "no background jet has a score (2 are NaN)"),
        (["-b", "qcd.scores.h5", "-s", "failed.scores.h5"], 1, "signal 'failed': no signal jet has a score"),
        (["-b", "qcd.scores.h5", "-s", "top.scores.root", "--json", "qcd.scores.h5"], 1, "is read by this"),
        (["mix.scores.csv", "-o", "old"], 1, "old.png: exists already; choose another name or pass --force"),
        (["mix.scores.csv", "-o", "roc.svg"], 2, "end the name in .pdf, .png or neither"),
        (["mix.scores.csv", "-o", "no/roc"], 1, "the folder no does not exist"),
        (["-s", "top.scores.root"], 2, "give --background SCORES, or one file with truth labels"),
        ([], 2, "give --background SCORES and --signal SCORES, or one file with truth labels"),
        (["mix.scores.csv", "--min-background", "0"], 2, "--min-background"),
    ],
)
def test_failures(
    files: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, message: str
) -> None:
    (files / "old.png").write_text("precious")
    found, out, err = exit_of(capsys, "roc", *args)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert (files / "old.png").read_text() == "precious"
    if code == 1:
        assert err.startswith("jetad: error: ")
        assert err.count("\n") == 1


def test_failed_jets_are_told(files: Path) -> None:
    result = run("roc", "-b", "qcd.scores.h5", "failed.scores.h5", "-s", "top.scores.root")
    assert "background: 2 jets without a score are left out" in result.stdout


def test_few_jets_give_bounds(files: Path) -> None:
    Scores(score=[1.0, 2.0]).save("b.csv")
    Scores(score=[3.0]).save("s.csv")
    lines = run("roc", "-b", "b.csv", "-s", "s.csv").stdout.splitlines()
    # AUC and its error, no pT, mass or SIC to give, and two bounds
    assert lines[3].split()[2:] == ["1.0000", "±", "0.6827", "-", "-", "-"]
    assert [word for word in lines[-1].split()[1:] if not word[0].isdigit()] == [">", ">"]


def test_plot_scores_and_curves(files: Path) -> None:
    result = run("plot", "scores", "qcd.scores.h5", "top=top.scores.root")
    assert result.stdout == ""
    assert result.stderr == "wrote scores.pdf, scores.png\n"
    run("plot", "sic", "mix.scores.csv", "-o", "best.png")
    run("plot", "roc", "-b", "qcd.scores.h5", "-s", "top.scores.root", "-o", "curve")
    assert {"best.pdf", "best.png", "curve.pdf", "curve.png"} <= {path.name for path in files.iterdir()}


def test_plot_history(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = files / "run"
    folder.mkdir()
    assert exit_of(capsys, "plot", "history", "run")[0] == 1
    (folder / "history.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    assert exit_of(capsys, "plot", "history", "run", "-o", "h")[0] == 0
    code, _, err = exit_of(capsys, "plot", "history", "run", "-o", "h")
    assert (code, "h.pdf: exists already" in err) == (1, True)
    assert exit_of(capsys, "plot", "history", "nowhere")[0] == 2


@pytest.mark.parametrize(
    "args", [["roc"], ["plot"], ["plot", "scores"], ["plot", "history"], ["plot", "sic"]]
)
def test_help(args: list[str]) -> None:
    text = run(*args, "--help").stdout
    assert "Usage:" in text
    assert len(text.splitlines()) > 5


# --- several runs --------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for i, (name, method) in enumerate([("s1", "nae"), ("s2", "nae"), ("plain", "ae")]):
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(i)
        metadata = {"run": name, "model_hash": name * 4, "method": method}
        for file, mean in (("qcd", 0), ("top", 1.5)):
            Scores(score=rng.normal(mean, 1, 500), metadata=metadata).save(folder / f"{file}.scores.h5")
    return tmp_path


FILES = ["-b", "*/qcd.scores.h5", "-s", "top=*/top.scores.h5"]


def test_runs_side_by_side(runs: Path) -> None:
    result = run("roc", "--by", "run", *FILES, "--ratio", "-o", "roc", "--json", "all.json", "--eff-s", "0.2")
    assert "s1: background: 500 jets" in result.stdout
    assert "paired comparison on the same jets:" in result.stdout
    assert "plain - s1" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "eff_S at eff_B 0.01" in result.stdout
    found = json.loads((runs / "all.json").read_text())
    assert set(found["runs"]) == {"plain", "s1", "s2"}
    assert list(found["runs"]["s1"]["signals"]["top"]["background_rejection"]) == ["0.2"]
    assert [p["second"] for p in found["paired"]] == ["s1", "s2"]
    assert 0 <= found["paired"][0]["p_value"] <= 1
    assert (runs / "roc.png").exists()


def test_the_reference_can_be_chosen(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["roc", "--by", "run", *FILES, "--json", "all.json", "--reference", "s2"]
    assert "s2 - plain" in run(*words).stdout
    found = json.loads((runs / "all.json").read_text())
    assert list(found["runs"]) == ["s2", "plain", "s1"]
    assert [(p["first"], p["second"]) for p in found["paired"]] == [("s2", "plain"), ("s2", "s1")]
    code, _, err = exit_of(capsys, "roc", "--by", "run", *FILES, "--reference", "s3")
    assert (code, "--reference s3: the detectors are plain, s1, s2" in " ".join(err.split())) == (2, True)


def test_bands_of_a_ratio_on_the_same_jets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two detectors that hardly differ: their ratio is known much better than either rejection."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for file, mean in (("qcd", 0), ("top", 1.5)):
        score = rng.normal(mean, 1, 3000)
        for name, noise in (("a", 0.0), ("b", 0.05)):
            (tmp_path / name).mkdir(exist_ok=True)
            Scores(score=score + rng.normal(0, 1, 3000) * noise, metadata={"model_hash": name}).save(
                tmp_path / name / f"{file}.scores.h5"
            )
    files = (("a/qcd.scores.h5", "b/qcd.scores.h5"), ("a/top.scores.h5", "b/top.scores.h5"))
    found = curves_of((), *files, 10, "folder")
    (key, band), *others = _ratio_bands(found).items()
    assert (key, others) == (("top", "b"), [])
    known = np.isfinite(band.value)  # too few jets at the left end
    assert known.sum() > 50
    # (quantiles of resampled jets need not enclose every value)
    assert np.mean((band.low <= band.value)[known] & (band.value <= band.high)[known]) > 0.9
    middle = np.abs(band.signal_efficiency - 0.5).argmin()
    first = found.evaluations[0].signals["top"].curve
    _, low, high = first.rejection_band(band.signal_efficiency)
    alone = (high - low)[middle] / first.background_rejection(band.signal_efficiency[middle]).value
    assert (band.high - band.low)[middle] < 0.5 * alone
    figures = [plot_roc(found.evaluations, ratio=True, paired=paired) for paired in (None, {key: band})]
    assert [len(figure.axes[1].collections) for figure in figures] == [2, 1]  # the reference has none then


def test_spread_over_seeds(runs: Path) -> None:
    result = run("roc", "--by", "run", "--spread", *FILES, "--hepdata", "tables", "--json", "-")
    found = json.loads(result.stdout)["runs"]
    assert found["nae"]["runs"] == ["s1", "s2"]
    assert len(found["nae"]["signals"]["top"]["aucs"]) == 2
    assert "aucs" not in found["plain"]["signals"]["top"]
    assert (runs / "tables" / "roc_top_nae.yaml").exists()
    assert "mean and spread of 2 runs (s1, s2)" in run("roc", "--by", "run", "--spread", *FILES).stdout


def test_pairs_need_the_same_jets(runs: Path) -> None:
    Scores(score=np.zeros(9), metadata={"run": "s2", "model_hash": "x"}).save("s2/qcd.scores.h5", force=True)
    Scores(score=np.ones(9), metadata={"run": "s2", "model_hash": "x"}).save("s2/top.scores.h5", force=True)
    result = run("roc", "--by", "folder", "-b", "s?/qcd.scores.h5", "-s", "s?/top.scores.h5")
    assert "no paired comparison: 's1' and 's2' scored different background jets" in result.stdout


def test_labels_and_bands(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = ["-b", "s1/qcd.scores.h5", "-s", "s1/top.scores.h5"]
    run("roc", *one, "--band", "bootstrap", "--experiment", "cms", "--com", "13", "-o", "a")
    run("plot", "sic", *one, "--experiment", "ATLAS", "--label", "Simulation", "--lumi", "140", "-o", "b")
    plain = (runs / "a.png").read_bytes()
    run("roc", *one, "--band", "none", "-o", "a", "--force")
    assert (runs / "a.png").read_bytes() != plain
    assert exit_of(capsys, "roc", *one, "--experiment", "D0", "-o", "c")[0] == 2
    assert exit_of(capsys, "roc", *one, "--com", "-1", "-o", "c")[0] == 2
    assert exit_of(capsys, "roc", *one, "--spread")[0] == 2
