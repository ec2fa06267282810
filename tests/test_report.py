"""The report: everything on one page, nothing outside it, and a real browser shows it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import toy_jets

from jetad.config import resolve_config
from jetad.errors import ConfigError, InputError
from jetad.evaluation import Interval, evaluate
from jetad.plots import FigureLabel
from jetad.report import Report, collect_report, render_page, to_pdf, write_page
from jetad.report.citations import bibtex, references_of
from jetad.report.page import find_browser
from jetad.report.verdict import verdict
from jetad.runs import Run
from jetad.scores import Scores
from jetad.studies.contamination import Contamination, ContaminationPoint
from jetad.studies.two_way import Complexity, Direction, TwoWay
from jetad.training.train import prepare_run, train
from jetad.writers import write_jets
from jetad_cli.main import cli, main

QUICK = [
    "training.epochs=1", "network.hidden=[16]", "members.image.network.components=6",
    "training.batch_size=32", "members.image.network.latent_dim=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny runs (ae, other) and files of jets."""
    path = tmp_path_factory.mktemp("report")
    write_jets(toy_jets(150, 1, labels=0), path / "train.h5")
    write_jets(toy_jets(120, 2, labels=0), path / "qcd.h5")
    write_jets(toy_jets(60, 3, mean=60, labels=1), path / "top.h5")
    for name, seed in (("ae", 1), ("other", 2)):
        config = resolve_config(method="ae", settings=QUICK, seed=seed)
        run = prepare_run(
            config, [path / "train.h5"], output=path / name, command=["test <b>&amp;"], device="cpu"
        )
        train(run, toy_jets(150, 1), device="cpu")
    return path


@pytest.mark.parametrize(
    ("signals", "correlations", "sentences"),
    [
        (
            {"top": 2.0, "easy": 4.0},
            {"mass": 0.85, "pt": 0.01},
            [
                "It finds top (AUC 0.9",
                "better than the jet mass alone.",
                "Its score follows mass (rank correlation +0.85): cuts on it change these spectra",
            ],
        ),
        (
            {"top": 2.0, "hidden": -0.5},
            {"mass": 0.1, "pt": -0.2},
            ["and does not find hidden (AUC 0.3", "Its score follows none of mass and pt (rank correlations"],
        ),
        ({}, {"mass": float("nan")}, ["No signal was given", "follows none of mass"]),
    ],
)
def test_verdict(folder: Path, signals, correlations, sentences) -> None:
    rng = np.random.default_rng(1)

    def table(mean: float) -> Scores:
        return Scores(score=rng.normal(mean, 1, 300), jet_mass=rng.normal(80, 10, 300))

    evaluation = (
        evaluate(table(0), {name: table(mean) for name, mean in signals.items()}) if signals else None
    )
    found = verdict(evaluation, correlations, Run.open(folder / "ae"))
    assert len(found) == 3
    for sentence in sentences:
        assert sentence in " ".join(found)
    assert found[2] == (
        "Its background efficiencies were measured on 15 jets held out of its training files: nothing below "
        "0.062 can be said."
    )


def test_the_verdict_stands_on_top(report: Report) -> None:
    page = render_page(report)
    assert len(report.verdict) == 3
    assert page.index('<p class="verdict">') < page.index('<p class="note">')
    assert page.index('<p class="verdict">') < page.index("<table>")


def studies() -> list[TwoWay | Contamination]:
    """One in both directions, and a scan of two points."""
    rng = np.random.default_rng(3)
    directions = []
    for background, signal, shift in (("qcd", "top", 1.5), ("top", "qcd", 1.0)):
        scores = [Scores(score=rng.normal(mean, 1, 80)) for mean in (0, shift)]
        found = evaluate(scores[0], {signal: scores[1]}, name=f"trained on {background}")
        counts = {name: Complexity(0.7, 0.2) for name in ("multiplicity", "pixels")}
        directions.append(Direction(background, signal, found, counts))
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    points = (
        ContaminationPoint(0.0, 0, Interval(0.9, 0.88, 0.92), Interval(2.0, 1.8, 2.2), (0.9,)),
        ContaminationPoint(0.1, 10, Interval(0.8, 0.78, 0.82), unknown, (0.8,)),
    )
    return [TwoWay((directions[0], directions[1])), Contamination("qcd", "top", 100, points)]


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return collect_report(
        {"ae": Run.open(folder / "ae"), "<other>": Run.open(folder / "other")},
        [folder / "qcd.h5"],
        {"top": [folder / "top.h5"]},
        background_name="qcd",
        studies=studies(),
        label=FigureLabel("ATLAS", com=13.6),
        max_jets=100,
        device="cpu",
    )


@pytest.fixture(scope="module")
def page(report: Report, folder: Path) -> Path:
    return write_page(report, folder / "report.html")


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_everything_is_on_the_page(report: Report, page: Path) -> None:
    text = page.read_text()
    names = [f.name for f in report.figures]
    assert names == [
        "roc", "sic", "scores", "sculpting", "efficiency", "images", "anomalous", "reconstructions",
        "history",
    ]  # fmt: skip
    made = ["robustness", "two-way", "contamination"]
    assert [s.name for s in report.studies] == made
    for key in (
        "summary",
        "performance",
        *names[2:],
        *made,
        "cutflow",
        "configuration",
        "provenance",
        "references",
    ):
        assert f'<section id="{key}">' in text
    curve = report.evaluations[0].signals["top"].curve
    assert f"{curve.auc:.4f} ± {curve.auc_error:.4f}" in text
    assert f"{report.paired[0].p_value:.2g}" in text
    assert "arXiv:1808.08979" in text
    assert "2105.05735" not in text  # a plain autoencoder was used, no normalized one
    assert Run.open(page.parent / "ae").model_hash() in text
    assert "latent_dim: 3" in text
    assert "qcd: only the first 100 jets were read" in text
    assert "Worst direction: trained on" in text
    assert "<td>10</td><td>10</td><td>0.8000 ± 0.0200</td><td>–</td>" in text


def test_distorted_jets_are_scored_on_the_way(report: Report) -> None:
    rows = report.studies[0].rows
    assert list(rows[0]) == ["change of efficiency [%]", "qcd", "top", "AUC top"]
    assert rows[1][0] == "cut at ε_B = 0.1"
    assert rows[1][-1] == f"{report.evaluations[0].signals['top'].curve.auc:.4f}"
    assert len(rows) == 2 + 8  # 100 background jets are too few for a second cut
    assert "100 qcd, 60 top jets" in report.studies[0].text


def test_label_is_above_every_figure(report: Report) -> None:
    figures = [f.figure for f in report.figures] + [s.figure for s in report.studies]
    for figure in figures:
        texts = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
        shown = " ".join([figure.get_suptitle(), *texts, *(a.get_title(loc="right") for a in figure.axes)])
        assert "ATLAS" in shown
        assert "13.6 TeV" in shown


def test_nothing_is_outside_the_page(page: Path) -> None:
    parsed = _Elements(page.read_text())
    assert parsed.open == []
    tags = [tag for tag, _ in parsed.found]
    assert not {"script", "link", "iframe"} & set(tags)
    images = [attributes for tag, attributes in parsed.found if tag == "img"]
    assert len(images) == 12
    for attributes in images:
        assert attributes["alt"]
        kind, _, data = str(attributes["src"]).partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data)[:4] == b"\x89PNG"
    assert not re.search(r"url\(|@import", page.read_text())
    assert page.stat().st_size < 4e6


def test_names_are_escaped(page: Path) -> None:
    text = page.read_text()
    assert "&lt;other&gt;" in text
    assert "<other>" not in text
    assert "test &lt;b&gt;&amp;amp;" in text


def test_cut_flow_adds_up(report: Report) -> None:
    qcd, top = report.cut_flow
    assert (qcd.sample, qcd.counts[:3]) == ("qcd", (100, 100, 50))
    assert top.counts[0] == 60
    for row in report.cut_flow:
        assert all(a >= b for a, b in zip(row.counts, row.counts[1:], strict=False))


def test_browser_shows_every_figure(page: Path, tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    probe = (
        "<script>addEventListener('load', () => { document.title = JSON.stringify({"
        "shown: [...document.images].filter(i => i.complete && i.naturalWidth > 100).length,"
        "wide: document.documentElement.scrollWidth, window: innerWidth,"
        "sections: document.querySelectorAll('section').length,"
        "dead: [...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length"
        "}) })</script></body>"
    )
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", probe))
    for width in (1200, 600):
        done = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
                f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom", copy.as_uri(),
            ],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        assert title, done.stderr
        found = json.loads(title.group(1))
        assert found["shown"] == 12
        assert found["sections"] == 16
        assert found["dead"] == 0
        assert found["wide"] <= found["window"]  # no sideways scrolling


@pytest.mark.slow
def test_pdf(page: Path, tmp_path: Path) -> None:
    if find_browser() is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    pdf = to_pdf(page, tmp_path / "report.pdf")
    assert pdf.read_bytes()[:5] == b"%PDF-"
    assert list(tmp_path.iterdir()) == [pdf]


@pytest.mark.slow
def test_without_signal_there_is_no_roc(folder: Path) -> None:
    found = collect_report({"ae": Run.open(folder / "ae")}, [folder / "train.h5"], {}, device="cpu")
    assert found.evaluations == []
    assert [f.name for f in found.figures][:2] == ["scores", "sculpting"]
    assert any("was trained on this file" in note for note in found.notes)
    text = render_page(found)
    assert "No signal was given" in text
    assert "DeLong" not in text


def test_nothing_to_report() -> None:
    with pytest.raises(ConfigError, match="at least one run"):
        collect_report({}, [Path("x.h5")], {})


def test_empty_file_is_said(folder: Path) -> None:
    write_jets(toy_jets(3)[:0], folder / "none.h5", force=True)
    with pytest.raises(InputError, match=r"none\.h5"):
        collect_report({"ae": Run.open(folder / "ae")}, [folder / "none.h5"], {}, device="cpu")


def test_command_refuses_before_it_works(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    (folder / "old.html").write_text("precious")
    for words, code, message in (
        (["--run", "ae", "-b", "qcd.h5", "-o", "old.html"], 1, "exists already"),
        (["--run", "ae", "ae", "-b", "qcd.h5", "-o", "new.html"], 2, "the name 'ae' is given twice"),
        (["--run", "nowhere", "-b", "qcd.h5", "-o", "new.html"], 1, "no such run directory"),
        (["--run", "ae", "-o", "new.html"], 2, "--background"),
        (["--run", "ae", "-b", "nothing.h5", "-o", "new.html"], 1, "nothing.h5"),
        (
            ["--run", "ae", "-b", "qcd.h5", "--study", "no.json", "-o", "new.html"],
            1,
            "no.json: no such file",
        ),
        (["--run", "ae", "-b", "qcd.h5", "--lumi", "-1", "-o", "new.html"], 2, "--lumi -1: must be positive"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["report", *words])
        assert caught.value.code == code
        assert message in capsys.readouterr().err
    assert (folder / "old.html").read_text() == "precious"
    assert not (folder / "new.html").exists()


# --- references ----------------------------------------------------------------------------------


def test_references_follow_the_configuration() -> None:
    def keys(**options) -> list[str]:
        return [r.key for r in references_of(resolve_config(**options))]

    nae, image, ae = (
        keys(method="nae"),
        keys(method="nae", representation="image"),
        keys(method="ae", representation="features"),
    )
    assert nae[:3] == ["jetad", "Yoon:2021nae", "Dillon:2022nae"]
    assert {"Tieleman:2008", "Tippett:1931"} <= set(nae)
    assert not {"Tieleman:2008", "Tippett:1931"} & set(image)
    assert "Roberts:1996" not in ae
    assert len(nae) == len(set(nae))


def test_bibtex_is_well_formed() -> None:
    text = bibtex(references_of(resolve_config(method="nae"), evaluation=True, sculpting=True))
    entries = re.findall(r"@(\w+)\{([^,]+),\n((?:  \w+ = \{.*\},?\n)+)\}", text)
    assert len(entries) == text.count("@")
    assert text.count("{") == text.count("}")
    assert all("author" in body and "title" in body and "year" in body for _, _, body in entries)


def test_cite_command(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["cite", "--run", str(folder / "ae"), "--json"])
    assert [r["key"] for r in json.loads(result.stdout)][:3] == ["jetad", "Heimel:2018mkt", "Farina:2018fyg"]
    assert "@article{DeLong:1988," in CliRunner().invoke(cli, ["cite", "--run", str(folder / "ae")]).stdout
    assert np.all(
        [
            "[" in line
            for line in CliRunner()
            .invoke(cli, ["cite", "--run", str(folder / "ae"), "--text"])
            .stdout.splitlines()
        ]
    )
