"""The interactive page: brushed, clicked and typed at in a real browser, and nothing leaves it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad.demo import sample
from jetad.errors import InputError
from jetad.jets import Jets
from jetad.report.page import find_browser
from jetad.runs import Run
from jetad.writers import write_jets

pytest.importorskip("plotly", reason="the page is drawn by plotly: pip install 'jetad[explore]'")

from jetad.report.explore import Explored, collect_explored, render_explored

EVIL = '</script><img src=x onerror="document.title=1"><a href="http://example.org">x</a>'


def with_columns(jets: Jets, **columns: Any) -> Jets:
    import dataclasses

    return dataclasses.replace(jets, observables=columns)


@pytest.fixture(scope="module")
def found(quick_runs, tmp_path_factory) -> Explored:
    """60 + 40 jets and a run that sees images and features."""
    folder = tmp_path_factory.mktemp("explore")
    write_jets(toy_jets(60, 11, labels=0), folder / "qcd.h5")
    write_jets(toy_jets(40, 12, mean=60, labels=1), folder / "top.h5")
    classes = {"qcd": [folder / "qcd.h5"], "top": [folder / "top.h5"]}
    return collect_explored(Run.open(quick_runs / "run"), classes, device="cpu")


@pytest.fixture(scope="module")
def page(found, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render_explored(found))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    reason = "no playwright on this machine: pip install playwright (the browser is that of Debian)"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


class Shown:
    """A page in a browser, with all that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1300, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]", timeout=60_000)
        assert self.requests == [path.as_uri()]
        assert self.complaints == []

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    @property
    def n_selected(self) -> int:
        return int(self.text("#count").split()[0])

    def place(self, i: int) -> tuple[float, float]:
        """Where the point of a jet is on the screen."""
        x, y = self.page.evaluate(
            """i => {
              const div = document.getElementById("scatter"), box = div.getBoundingClientRect();
              const trace = div.data.find(t => t.customdata && [...t.customdata].includes(i));
              const k = [...trace.customdata].indexOf(i), l = div._fullLayout;
              return [box.left + l.xaxis._offset + l.xaxis.l2p(trace.x[k]),
                      box.top + l.yaxis._offset + l.yaxis.l2p(trace.y[k])];
            }""",
            i,
        )
        return float(x), float(y)


def until(happened: Callable[[], bool]) -> None:
    """Wait for what a page does later."""
    for _ in range(200):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("nothing has happened for ten seconds")


def curve(shown: Shown, plot: str) -> list[dict[str, Any]]:
    return shown.page.evaluate(
        "id => document.getElementById(id).data.map(t => ({name: t.name, y: [...t.y]}))", plot
    )


def brightness(shown: Shown, selector: str, what: str) -> float:
    """Of a colour, 0 for black and 1 for white."""
    color = shown.page.evaluate(
        "([selector, what]) => getComputedStyle(document.querySelector(selector))[what]", [selector, what]
    )
    return sum(float(part) for part in re.findall(r"[\d.]+", color)[:3]) / 765


@pytest.mark.slow
def test_brush_click_and_keys(browser, page, found):
    shown = Shown(browser, page)
    n = len(found.kind)
    assert shown.n_selected == n
    before = curve(shown, "hist")
    # the highest is shown first
    score = found.columns["score"]
    first = int(np.argmax(score))
    assert f"entry {found.entry[first]} ({found.classes[found.kind[first]]})" in shown.text("#caption")
    assert float(re.search(r"score ([\d.]+)", shown.text("#caption"))[1]) == pytest.approx(
        score[first], rel=1e-3
    )

    # a brush over the upper half
    mouse, box = shown.page.mouse, shown.page.locator("#scatter .nsewdrag").bounding_box()
    middle = float(np.median(score))
    rank = int(np.argmin(np.abs(score - middle)))
    mouse.move(box["x"] + 2, box["y"] + 2)
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2, shown.place(rank)[1] - 8, steps=5)
    mouse.move(box["x"] + box["width"] - 2, shown.place(rank)[1], steps=5)
    mouse.up()
    until(lambda: shown.n_selected != n)
    brushed = shown.n_selected
    assert 0.3 * n < brushed < 0.7 * n
    after = curve(shown, "hist")
    total = {t["name"]: sum(v or 0 for v in t["y"]) for t in after}
    assert sum(v for k, v in total.items() if k.endswith("selected")) == brushed
    assert sum(v for k, v in total.items() if k.endswith("all")) == n
    assert before != after
    assert "of all" in shown.text("#auc")

    # a click on a jet
    chosen = int(np.argsort(score)[-3])
    mouse.click(*shown.place(chosen))
    until(lambda: f"entry {found.entry[chosen]} " in shown.text("#caption"))
    rows = shown.page.locator("#numbers tbody tr")
    values = dict(row.split("\t")[:2] for row in rows.all_inner_texts())
    assert float(values["jet_mass"]) == pytest.approx(found.columns["jet_mass"][chosen], rel=1e-3)
    points = shown.page.evaluate("document.getElementById('constituents').data[0].x.length")
    assert points == found.offsets[chosen + 1] - found.offsets[chosen]
    assert shown.page.locator("#pictures canvas").count() == len(found.pictures)

    # the same without a mouse
    shown.page.keyboard.press("Escape")  # the click has put the focus elsewhere
    shown.page.focus("#scatter")
    shown.page.keyboard.press("Escape")
    assert shown.n_selected == n
    shown.page.keyboard.press("Home")
    assert f"entry {found.entry[first]} " in shown.text("#caption")
    shown.page.keyboard.press("ArrowRight")
    second = int(np.argsort(-score, kind="stable")[1])
    assert f"entry {found.entry[second]} ({found.classes[found.kind[second]]})" in shown.text("#caption")
    shown.page.keyboard.press("ArrowLeft")
    assert f"entry {found.entry[first]} " in shown.text("#caption")
    shown.page.focus("#ylow")
    shown.page.keyboard.type(f"{middle:.6f}")
    shown.page.keyboard.press("Tab")
    assert shown.n_selected == int((score >= float(f"{middle:.6f}")).sum())
    shown.page.focus("#clear")
    shown.page.keyboard.press("Enter")
    assert shown.n_selected == n

    # other variables, and a class that is hidden
    shown.page.select_option("#y", label="jet_pt")
    assert "Histogram of jet_pt" in shown.text("#histtitle")
    shown.page.locator("#classes input").nth(1).uncheck()
    assert shown.n_selected == int((found.kind == 0).sum())
    assert "second class" in shown.text("#auc")
    assert shown.complaints == []
    assert len(shown.requests) == 1


@pytest.mark.slow
def test_everything_can_be_reached_with_the_tab_key(browser, page):
    shown = Shown(browser, page)
    reached = set()
    for _ in range(60):
        shown.page.keyboard.press("Tab")
        reached.add(shown.page.evaluate("document.activeElement.id"))
    assert {
        "x",
        "y",
        "logx",
        "scatter",
        "xlow",
        "yhigh",
        "clear",
        "background",
        "top",
        "previous",
        "next",
    } <= reached


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_by_day_and_by_night(browser, page, tmp_path, scheme):
    shown = Shown(browser, page, width=400, scheme=scheme)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400
    dark = scheme == "dark"
    assert (brightness(shown, "body", "backgroundColor") < 0.2) is dark
    assert (brightness(shown, "#scatter .main-svg", "backgroundColor") < 0.2) is dark
    assert (brightness(shown, "#count", "color") > 0.7) is dark
    for selector in ("#scatter", "#hist", "#roc", "#constituents", "#pictures"):
        box = shown.page.locator(selector).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400
    if folder := os.environ.get("JETAD_SCREENSHOTS"):  # to look at
        shown.page.screenshot(path=f"{folder}/explore_{scheme}.png", full_page=True)
    # at night while one looks
    shown.page.emulate_media(color_scheme="light" if dark else "dark")
    until(lambda: (brightness(shown, "#scatter .main-svg", "backgroundColor") < 0.2) is not dark)


@pytest.mark.slow
def test_names_are_no_program(browser, found, tmp_path):
    """What somebody has written into names of files, classes and columns is shown, and does nothing."""
    evil = found._replace(
        title=EVIL, classes=[EVIL, f"{EVIL}2"], files=[EVIL, EVIL], notes=[EVIL],
        columns={"score": found.columns["score"], EVIL: found.columns["jet_mass"]}, features=[EVIL],
        members={EVIL: ("score", "")}, pictures=[p._replace(title=EVIL) for p in found.pictures],
    )  # fmt: skip
    path = tmp_path / "evil.html"
    path.write_text(render_explored(evil))
    shown = Shown(browser, path)
    shown.page.select_option("#x", index=1)
    shown.page.mouse.move(*shown.place(3))  # a name in a label beside the pointer
    shown.page.wait_for_timeout(500)
    assert shown.page.title() != "1"
    assert shown.page.locator("img, a[href^=http]").count() == 0
    assert shown.page.locator("svg a").count() == 0
    assert EVIL in shown.text("#caption")
    assert EVIL in shown.text("#numbers")
    assert shown.complaints == []
    assert len(shown.requests) == 1


# --- the file ----------------------------------------------------------------------------------------------


def test_the_policy_allows_two_scripts_and_nothing_else(page):
    text = page.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"https?:|unsafe-eval|script-src [^;]*unsafe|\*", policy)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert re.findall(r"'sha256-(.*?)'", policy) == hashes
    assert not re.search(r"<(link|iframe|img|script)[^>]*(src|href)=", text[: text.index("<script>")])


def test_names_cannot_end_a_script(found):
    text = render_explored(
        found._replace(title=EVIL, files=[EVIL, "b?token=secret"], classes=["a\ud800", EVIL])
    )
    assert EVIL not in text
    meta = json.loads(re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)[1])
    assert meta["title"] == EVIL
    text.encode()  # also what is no character


def test_what_is_collected(found):
    assert found.classes == ["qcd", "top"]
    assert found.kind.tolist() == [0] * 60 + [1] * 40
    assert [p.title for p in found.pictures] == ["image", "reconstruction", "pixels that raise the energy"]
    assert next(iter(found.columns)) == "score"
    surprises = [found.columns[surprise] for _, surprise in found.members.values()]
    np.testing.assert_allclose(np.max(surprises, axis=0), found.columns["score"], rtol=1e-5)
    for i in (0, 71):
        hardest = found.constituents[found.offsets[i] : found.offsets[i + 1], 2]
        assert (np.diff(hardest) <= 0).all()
        assert found.columns["n_constituents"][i] == len(hardest)


def test_pixels_that_raise_the_energy_are_those_without_which_it_is_lower(quick_runs):
    """Against the difference that taking away a tenth of a pixel makes."""
    import torch

    from jetad.detector import load
    from jetad.report.explore.collect import _shares

    detector = load(Run.open(quick_runs / "images"), device="cpu")
    (member,) = detector.members
    rows = member.preprocessor.transform(toy_jets(3, 5))
    _, share = _shares(member, rows, detector.device)
    assert share is not None
    energy = lambda x: member.model.double().score(torch.from_numpy(x).double()).numpy()  # noqa: E731
    for pixel in zip(*np.unravel_index(np.argsort(rows[0, 0].ravel())[-5:], rows.shape[2:]), strict=True):
        less = rows.copy()
        less[0, 0][pixel] *= 0.999
        change = (energy(rows)[0] - energy(less)[0]) / 0.001
        assert share[0, 0][pixel] == pytest.approx(change, rel=0.02, abs=float(1e-3 * np.abs(share[0]).max()))


def test_files_with_both_truths_are_two_classes(quick_runs, tmp_path):
    both = Jets.concatenate([toy_jets(30, 1, labels=1), toy_jets(30, 2, labels=0)])
    write_jets(both, tmp_path / "mixed.h5")
    found = collect_explored(Run.open(quick_runs / "images"), {"x": [tmp_path / "mixed.h5"]}, device="cpu")
    assert found.classes == ["x (background)", "x (signal)"]
    assert found.kind.tolist() == [1] * 30 + [0] * 30
    assert found.members == {"image": ("energy of image", "")}


def test_jets_that_cannot_be_scored_are_left_out_and_told(quick_runs, tmp_path):
    jets = toy_jets(30, 1)
    jets.pt[jets.offsets[3]] = np.nan
    write_jets(jets, tmp_path / "nan.h5")
    found = collect_explored(Run.open(quick_runs / "run"), {"x": [tmp_path / "nan.h5"]}, device="cpu")
    assert len(found.kind) == 29
    assert 3 not in found.entry
    assert "1 of 30 jets could not be scored and are left out" in found.notes


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gmm", "pca", "knn", "isolation-forest", "vae"])
def test_other_methods(folder, method):
    words = ["--set", "training.epochs=1"] if method == "vae" else []
    assert jetad("train", "-b", "qcd.h5", "-m", method, "-o", "other", *words) == 0
    found = collect_explored(Run.open("other"), {"qcd": [Path("qcd.h5")]}, device="cpu")
    titles = [p.title for p in found.pictures]
    assert titles[0] == "image"
    assert ("pixels that raise the energy" in titles) is (method != "isolation-forest")
    assert ("reconstruction" in titles) is (method in ("pca", "vae"))
    render_explored(found)


@pytest.mark.slow
def test_five_thousand_jets_fit_in_fifteen_megabytes(quick_runs):
    files = {name: [sample(f"{name}.h5")] for name in ("qcd_test", "top", "heidelberg")}
    found = collect_explored(
        Run.open(quick_runs / "run"), files, max_jets=5000, device="cpu", allow=["range"]
    )
    assert len(found.kind) > 4900
    assert len(render_explored(found)) < 15e6


# --- the command -------------------------------------------------------------------------------------------


def test_the_command(folder, capsys):
    shutil.copy("qcd.h5", "top.h5")
    assert (
        jetad("explore", "run", "a=qcd.h5", "top.h5", "--max-jets", "40", "-o", "p.html", "--device", "cpu")
        == 0
    )
    assert capsys.readouterr().out == "p.html\n"
    assert "only the first 20 jets are shown" in Path("p.html").read_text()
    assert jetad("explore", "run", "qcd.h5", "-o", "p.html") == 1
    assert "p.html: exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["qcd.h5", "run"], 1, "qcd.h5: no such run directory"),
        (["run"], 2, "Missing argument"),
        (["run", "gone.h5"], 1, "gone.h5"),
        (["run", "qcd.h5", "-o", "qcd.h5"], 1, "is read by this command"),
        (["run", "qcd.h5", "-o", "run/config.yaml", "--force"], 1, "is read by this command"),
        (["run", "qcd.h5", "--max-jets", "50000"], 2, "give at most 20000"),
        (["run", "qcd.h5", "--select", "jet_pt >"], 2, "--select"),
        (["run", "qcd.h5", "--select", "jet_pt > 1e9"], 1, "qcd.h5"),
        (["run", "qcd.h5", "-o", "gone/p.html"], 1, "the folder gone does not exist"),
    ],
)
def test_bad_words(folder, capsys, words, code, message):
    assert jetad("explore", *words) == code
    text = capsys.readouterr().err
    assert message in text
    assert "this is a bug" not in text
    assert not Path("explore.html").exists()


def test_nothing_can_be_scored(quick_runs, tmp_path):
    jets = toy_jets(12, 1)
    jets.pt[:] = np.nan
    write_jets(jets, tmp_path / "nan.h5")
    with pytest.raises(InputError, match="no jet could be scored"):
        collect_explored(Run.open(quick_runs / "run"), {"x": [tmp_path / "nan.h5"]}, device="cpu")
