"""Figures through what they draw: axes, data, labels, files; every edge case must at least come out."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from conftest import toy_jets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jetad.errors import ConfigError, InputError, OutputError
from jetad.evaluation import (
    Evaluation,
    Interval,
    efficiency_profiles,
    evaluate,
    sculpting,
    variables_of,
)
from jetad.evaluation.anomalies import captions, most_anomalous
from jetad.plots import (
    COLORS,
    figure_paths,
    load_history,
    main_keys,
    plot_contamination,
    plot_efficiency,
    plot_gallery,
    plot_history,
    plot_image_grid,
    plot_images,
    plot_reconstructions,
    plot_robustness,
    plot_roc,
    plot_scores,
    plot_sculpting,
    plot_sic,
    save,
)
from jetad.scores import Scores
from jetad.studies.contamination import ContaminationPoint


def normal(n: int, mean: float = 0.0, seed: int = 0) -> Scores:
    return Scores(score=np.random.default_rng(seed).normal(mean, 1, n))


def two_signals(name: str = "", better: float = 0.0) -> Evaluation:
    return evaluate(
        normal(2000), {"top": normal(1000, 2 + better, 1), "svj": normal(1000, 1 + better, 2)}, name=name
    )


def legend(figure: Figure) -> list[str]:
    box = figure.axes[0].get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


# --- ROC and SIC ---------------------------------------------------------------------------------


def test_roc_has_the_axes_of_the_field() -> None:
    evaluation = two_signals()
    figure = plot_roc(evaluation)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Signal efficiency"
    assert axes.get_ylabel() == r"Background rejection $1/\varepsilon_B$"
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert axes.get_xlim() == (0, 1)
    curve = evaluation.signals["top"].curve
    x, y = axes.lines[0].get_data()
    assert np.all(np.isin(x, curve.signal_efficiency))
    assert (x[-1], y[-1]) == (1, 1)
    assert np.interp(0.5, x, y) == pytest.approx(curve.background_rejection(0.5).value, rel=0.1)
    entries = legend(figure)
    assert entries[0] == f"top  (AUC = {curve.auc:.3f} ± {curve.auc_error:.3f})"
    assert entries[-1] == "random"
    x, y = axes.lines[-1].get_data()
    np.testing.assert_allclose(y, 1 / x)


def test_hep_ticks_and_label_places() -> None:
    axes = plot_roc(two_signals()).axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        for tick in axis.get_major_ticks():
            assert tick._tickdir == "in"  # type: ignore[attr-defined]
            assert tick.tick1line.get_visible()
            assert tick.tick2line.get_visible()
    assert axes.xaxis.label.get_horizontalalignment() == "right"
    assert axes.yaxis.label.get_horizontalalignment() == "right"  # of rotated text: the top end
    assert list(axes.texts) == []  # no experiment label


def test_methods_share_the_colour_of_a_signal() -> None:
    figure = plot_roc([two_signals("NAE", 0.5), two_signals("AE")])
    lines = {
        line.get_label(): line for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")
    }
    nae, ae = (next(v for k, v in lines.items() if str(k).startswith(f"top, {m}")) for m in ("NAE", "AE"))
    svj = next(v for k, v in lines.items() if str(k).startswith("svj, NAE"))
    assert nae.get_color() == ae.get_color() != svj.get_color()
    assert (nae.get_linestyle(), ae.get_linestyle()) == ("-", "--")


def test_infinite_rejection_is_drawn_as_a_bound() -> None:
    evaluation = evaluate(normal(500), {"far": normal(500, 20)})
    axes = plot_roc(evaluation).axes[0]
    bound = next(line for line in axes.lines if line.get_linestyle() == ":")
    low = evaluation.signals["far"].background_rejection[0.5].low
    assert np.interp(0.5, *bound.get_data()) == pytest.approx(low)
    assert axes.get_ylim()[1] > low


def test_legend_stays_clear_of_the_curves() -> None:
    background = normal(3000)
    figure = plot_roc(evaluate(background, {f"signal {i}": normal(500, 0.5 * i, i) for i in range(8)}))
    axes = figure.axes[0]
    assert len(legend(figure)) == 9
    box = axes.get_legend().get_window_extent()  # type: ignore[union-attr]
    for line in axes.lines:
        points = axes.transData.transform(np.column_stack(line.get_data()))
        inside = (points[:, 0] > box.x0) & (points[:, 1] > box.y0) & (points[:, 1] < box.y1)
        assert not np.any(inside)
    assert len({line.get_color() for line in axes.lines[:-1]}) == 8


def test_sic_is_masked_and_marked() -> None:
    evaluation = two_signals()
    figure = plot_sic(evaluation)
    result = evaluation.signals["top"]
    x, y = figure.axes[0].lines[0].get_data()
    assert np.min(x) == pytest.approx(
        result.curve.signal_efficiency[result.curve.n_background_tagged >= 10].min()
    )
    assert np.max(y) == pytest.approx(result.max_sic.value)
    assert legend(figure)[0].startswith(f"top  (max {result.max_sic.value:.2f}")


THREE = {"background": Scores(score=[0.1, 0.2, np.nan]), "signal": Scores(score=[0.15, 0.4, np.nan])}


@pytest.mark.parametrize("draw", [plot_roc, plot_sic])
def test_three_jets(draw: Callable[[Evaluation], Figure]) -> None:
    figure = draw(evaluate(THREE["background"], {"few": THREE["signal"]}))
    assert any("few" in text for text in legend(figure))


# --- scores --------------------------------------------------------------------------------------


def test_score_histograms_count_every_jet() -> None:
    failed = Scores(score=[np.nan] * 5)
    figure = plot_scores({"QCD": Scores.concatenate([normal(1000), failed]), "top": normal(500, 2, 1)})
    axes = figure.axes[0]
    assert legend(figure) == ["QCD  (1000 jets, 5 without score)", "top  (500 jets)"]
    steps = [patch.get_data().values for patch in axes.patches]
    for values in steps:  # jets beyond the axis are in the end bins
        assert np.sum(values) == pytest.approx(1)
    assert axes.get_yscale() == "log"
    assert axes.get_xscale() == "linear"


def test_score_axis_is_logarithmic_over_decades() -> None:
    wide = Scores(score=np.exp(4 * np.random.default_rng(0).normal(size=500)))
    assert plot_scores({"QCD": wide}).axes[0].get_xscale() == "log"
    assert plot_scores({"QCD": wide}, log_x=False).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("scores", [[1.0, 1.0, 1.0], [0.0, 2.0, 3.0], [np.nan, 5.0, np.inf], [0.0]])
def test_few_or_equal_scores(scores: list[float]) -> None:
    plot_scores({"QCD": Scores(score=scores), "none": Scores(score=[np.nan])})


def test_no_score_at_all() -> None:
    with pytest.raises(InputError, match="no score to draw"):
        plot_scores({"QCD": Scores(score=[np.nan])})


# --- images --------------------------------------------------------------------------------------


def one_pixel(i_eta: int, i_phi: int, n: int = 3) -> np.ndarray:
    images = np.zeros((n, 1, 40, 40), dtype=np.float32)
    images[:, 0, i_eta, i_phi] = 1
    return images


def test_mean_images_have_eta_to_the_right_and_phi_upwards() -> None:
    figure = plot_images({"QCD": one_pixel(20, 20), "top": one_pixel(39, 0, n=2)})
    panel = figure.axes[1]
    (drawn,) = panel.images
    shown = drawn.get_array()
    assert drawn.origin == "lower"
    assert shown[0, 39] == 1  # row: phi', column: eta'
    assert np.sum(shown) == 1
    np.testing.assert_allclose(drawn.get_extent(), (-0.58, 0.58, -0.7, 0.7))
    assert panel.get_title() == "top  (2 jets)"
    assert isinstance(drawn.norm, mpl.colors.LogNorm)
    assert figure.axes[0].get_ylabel() == r"$\phi'$ [rad]"


def test_images_do_not_change_and_nan_is_left_out() -> None:
    images = one_pixel(1, 1)
    images[0, 0, 5, 5] = np.nan
    before = images.copy()
    figure = plot_images({"QCD": images}, extent=(-1, 1, -2, 2))
    np.testing.assert_array_equal(images, before)
    drawn = figure.axes[0].images[0]
    assert np.sum(drawn.get_array()) == 1
    assert tuple(drawn.get_extent()) == (-1, 1, -2, 2)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"'QCD': expected images of shape \(n, 1, n_eta, n_phi\), found \(3, 40, 40\)"
    ):
        plot_images({"QCD": one_pixel(1, 1)[:, 0]})
    with pytest.raises(InputError, match="'QCD' has no image to average"):
        plot_images({"QCD": one_pixel(1, 1, n=0)})
    with pytest.raises(InputError, match="no images to draw"):
        plot_image_grid(one_pixel(1, 1, n=0))
    with pytest.raises(InputError, match=r"inputs have shape \(3, 40, 40\), reconstructions \(2, 40, 40\)"):
        plot_reconstructions(one_pixel(1, 1), one_pixel(1, 1, n=2))


def test_image_grid_and_reconstructions() -> None:
    figure = plot_image_grid(
        one_pixel(3, 4, n=5), ["step 0", "step 1", "step 2"], n_columns=3, row_titles=["chain 0", "chain 1"]
    )
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["step 0", "step 1", "step 2", "", ""]
    assert [panels[0].get_ylabel(), panels[3].get_ylabel()] == ["chain 0", "chain 1"]
    figure = plot_reconstructions(one_pixel(3, 4), 0.5 * one_pixel(3, 4), max_rows=1, titles=["QCD"])
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 3
    assert panels[2].images[0].get_array().min() == -0.5
    zeros = np.zeros((1, 1, 4, 4))
    plot_reconstructions(zeros, zeros)


# --- history -------------------------------------------------------------------------------------


def records(n: int = 40) -> list[dict]:
    out: list[dict] = []
    for step in range(0, 10 * n, 10):
        record = {"step": step, "phase": "ae" if step < 200 else "nae", "loss": math.exp(-step / 100)}
        if step >= 200:
            record |= {"energy_pos": 0.1, "energy_neg": 0.2, "energy_gap": -0.1}
        out.append(
            record | {"val_error": math.nan if step else 1.0, "note": "text", "ok": True, "none": None}
        )
    return out


def test_history_draws_what_is_there() -> None:
    figure = plot_history(records())
    panels = {axes.get_ylabel(): axes for axes in figure.axes if axes.get_visible()}
    assert set(panels) == {"Loss", "Energy", "Energy gap", "Val error"}
    assert panels["Loss"].get_yscale() == "log"
    assert panels["Energy gap"].get_yscale() == "linear"
    x, y = panels["Energy"].lines[0].get_data()
    assert (x[0], x[-1], len(x), y[0]) == (200, 390, 20, 0.1)
    assert [len(line.get_xdata()) for line in panels["Val error"].lines[:1]] == [1]
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == ["ae", "nae"]


def test_history_without_rising_steps_or_numbers() -> None:
    restarted = [{"step": s, "loss": 1.0 + s} for s in (0, 1, 2, 0, 1)]
    axes = plot_history(restarted).axes[0]
    assert axes.get_xlabel() == "Logged record"
    assert axes.lines[0].get_xdata()[-1] == 4
    with pytest.raises(InputError, match="no number to draw"):
        plot_history([{"step": 1, "note": "x"}])
    with pytest.raises(InputError, match="no number to draw"):
        plot_history([])


def test_load_history(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"history.jsonl: no such file"):
        load_history(tmp_path)
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 0, "loss": 1}\n\n{"step": 1, "loss": NaN}\n{"step": 2, "lo')
    assert [record["step"] for record in load_history(tmp_path)] == [0, 1]
    path.write_text('{"step": 0\n{"step": 1}\n')
    with pytest.raises(InputError, match="line 1 is not JSON"):
        load_history(path)
    path.write_text(json.dumps([1, 2]) + "\n")
    with pytest.raises(InputError, match="line 1 is not a record"):
        load_history(path)


# --- every figure, every edge case ---------------------------------------------------------------


def columns(n: int, mean: float, seed: int, n_failed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    score = rng.normal(mean, 1, n)
    score[:n_failed] = np.nan
    extra = {"n_constituents": rng.integers(10, 90, n)}
    return Scores(score=score, jet_mass=rng.gamma(4, 20, n), jet_pt=rng.uniform(500, 600, n), extra=extra)


CASES: dict[str, dict[str, Scores]] = {
    "three jets": {"qcd": columns(3, 0, 5), "few": columns(3, 1, 6)},
    "infinite rejection": {"qcd": columns(400, 0, 1), "far": columns(400, 20, 2), "near": columns(400, 2, 3)},
    "NaN scores": {"qcd": columns(200, 0, 1, n_failed=150), "top": columns(200, 1, 2, n_failed=199)},
    "eight curves": {
        "qcd": columns(1500, 0, 0),
        **{f"signal {i} with a name": columns(400, 0.5 * i, i + 1) for i in range(8)},
    },
}


def draw_curves(samples: dict[str, Scores]) -> list[Figure]:
    qcd, *_ = samples.values()
    found = evaluate(qcd, {name: s for name, s in samples.items() if s is not qcd})
    return [plot_roc(found, ratio=True), plot_sic(found)]


def draw_scores(samples: dict[str, Scores]) -> list[Figure]:
    return [plot_scores(samples)]


def draw_dependence(samples: dict[str, Scores]) -> list[Figure]:
    qcd, *_ = samples.values()
    variables = {name: variables_of(s) for name, s in samples.items()}
    cut = 1.0 if len(qcd) < 10 else 0.1
    profiles = efficiency_profiles(samples, variables, background_efficiency=cut)
    return [
        plot_sculpting(sculpting(qcd, variables["qcd"])),
        plot_efficiency(profiles, background_efficiency=cut),
    ]


def draw_images(samples: dict[str, Scores]) -> list[Figure]:
    rng = np.random.default_rng(1)
    images = {}
    for name, scores in samples.items():
        images[name] = rng.exponential(size=(min(len(scores), 8), 1, 40, 40)) ** 4
        images[name][: len(images[name]) // 2] += np.where(np.isnan(scores.score[0]), np.nan, 0)
    first, *_ = images.values()
    return [
        plot_images(images, difference=True),
        plot_gallery(first, ["score 3.07\n$p_T$ = 583 GeV, m = 83 GeV\n29 constituents"] * len(first)),
        plot_image_grid(first, n_columns=len(first), row_titles=["negative"]),
        plot_reconstructions(first[-2:], np.roll(first[-2:], 1, axis=2)),
    ]


def draw_studies(samples: dict[str, Scores]) -> list[Figure]:
    bad = np.isnan(samples["qcd"].score[0])
    names = list(samples)
    changes = {f"d {k}": {s: (math.nan if bad else 0.1 * i, 0.05) for i, s in enumerate(names)} for k in "ab"}
    low = math.nan if bad else 1.5
    points = [
        ContaminationPoint(x, 3, Interval(0.8 - x, 0.7 - x, 0.9 - x), Interval(low, low, low + 0.5), ())
        for x in (0.0, 0.001, 0.01, 0.1)
    ]
    return [plot_robustness({0.1: changes, 0.01: changes}), plot_contamination(points, signal="top")]


def assert_inside(figure: Figure, text: mpl.text.Text) -> None:
    box = text.get_window_extent()
    if box.width > 1:
        assert np.all(box.min > -2), text
        assert np.all(box.max < figure.bbox.max + 2), text


def assert_readable(figure: Figure) -> None:
    """All text is inside the figure, tick labels are apart, and nothing drawn runs through a legend."""
    FigureCanvasAgg(figure).draw()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    ticks = []
    for axes in shown:
        for axis, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
            ends = []
            for label in axis.get_ticklabels(which="both"):
                ticks.append(label)
                box = label.get_window_extent()
                at = (box.min[side] + box.max[side]) / 2
                # the others belong to ticks beyond the axis, which are not drawn
                if box.width > 1 and axes.bbox.min[side] - 1 <= at <= axes.bbox.max[side] + 1:
                    assert_inside(figure, label)
                    ends.append((box.min[side], box.max[side]))
            for (_, before), (after, _) in itertools.pairwise(sorted(ends)):
                assert before <= after + 1, (axes.get_ylabel(), axes.get_xlabel(), ends)
    for artist in (*shown, *figure.legends, *figure.texts):
        for text in artist.findobj(mpl.text.Text):
            if text.get_visible() and text.get_text() and text not in ticks:
                assert_inside(figure, text)
    for axes in shown:
        box = axes.get_legend()
        if box is None:
            continue
        area = box.get_window_extent()
        for line in axes.lines:
            if line.get_label() == "random" or line.get_linestyle() == "None":
                continue
            points = line.get_transform().transform(np.column_stack(line.get_data()).astype(float))
            inside = (points > area.min) & (points < area.max)
            assert not np.any(inside.all(axis=1)), line.get_label()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "draw",
    [
        draw_curves,
        draw_scores,
        draw_studies,
        pytest.param(draw_dependence, marks=pytest.mark.slow),
        pytest.param(draw_images, marks=pytest.mark.slow),
    ],
)
def test_every_figure_is_readable(draw: Callable[[dict[str, Scores]], list[Figure]], case: str) -> None:
    for figure in draw(CASES[case]):
        assert_readable(figure)


@pytest.mark.slow
def test_history_of_a_whole_training_is_readable() -> None:
    names = [f"quantity{i}_{w}" for i in range(8) for w in ("pos", "neg")]
    rows = []
    for step in range(0, 4000, 50):
        phase = "reconstruction" if step < 1500 else "contrastive"
        member = "image" if step < 2000 else "features"
        rows.append({"step": step, "member": member, "phase": phase, **{n: math.sin(step) for n in names}})
    figure = plot_history(rows)
    assert_readable(figure)
    boxes = sorted((t.get_window_extent().x0, t.get_window_extent().x1) for t in figure.axes[0].texts)
    assert len(boxes) == 3
    assert all(before[1] < after[0] for before, after in itertools.pairwise(boxes))


# --- files and style -----------------------------------------------------------------------------


def small() -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().plot([1, 2])
    return figure


@pytest.mark.parametrize("name", ["roc", "roc.pdf", "roc.png"])
def test_save_writes_pdf_and_png(tmp_path: Path, name: str) -> None:
    written = save(small(), tmp_path / name)
    assert [path.name for path in written] == ["roc.pdf", "roc.png"]
    assert written[0].read_bytes()[:5] == b"%PDF-"
    assert written[1].read_bytes()[:4] == b"\x89PNG"
    assert sorted(tmp_path.iterdir()) == sorted(written)
    with pytest.raises(OutputError, match="exists already"):
        save(small(), tmp_path / name)


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(plot_history(records(3), keys=["loss"]), tmp_path / "a")]
    again = [
        path.read_bytes()
        for path in save(plot_history(records(3), keys=["loss"]), tmp_path / "a", force=True)
    ]
    assert first == again
    assert b"CreationDate" not in first[0]


def test_figure_names() -> None:
    assert figure_paths("out/run.v2") == (Path("out/run.v2.pdf"), Path("out/run.v2.png"))
    with pytest.raises(ConfigError, match=r"roc.svg: figures are written as PDF and PNG"):
        figure_paths("roc.svg")


def test_no_global_state_is_touched() -> None:
    before = dict(mpl.rcParams)
    plot_history(records(3))
    assert dict(mpl.rcParams) == before
    assert len(set(COLORS)) == len(COLORS) >= 8


def test_users_settings_do_not_leak_in() -> None:
    with mpl.rc_context({"text.color": "red", "figure.facecolor": "black"}):
        assert plot_history(records(3)).get_facecolor() == (1, 1, 1, 1)


@pytest.mark.parametrize("odd", [1e308, -1e200, 10**400, float("inf"), float("nan")])
def test_a_history_of_a_damaged_file_is_drawn_without_what_no_axis_can_show(odd):
    records = [{"step": i, "energy_pos": 1.0 + i, "energy_neg": 2.0} for i in range(4)]
    drawn = plot_history([*records, {"step": 4, "energy_pos": odd, "energy_neg": 3.0}])
    assert drawn.axes[0].get_xlim()[1] < 5
    assert plot_history([*records, {"step": odd, "energy_pos": 3.0}]).axes[0].get_xlabel() == "Logged record"


# --- what a reader must not have to guess -----------------------------------------------------------


def test_a_handful_of_background_jets_is_drawn_thin() -> None:
    figure = plot_roc(evaluate(normal(1000, 0.0, 1), {"top": normal(800, 2.0, 2)}), bands=False)
    main, thin = figure.axes[0].lines[:2]
    assert (main.get_linewidth(), thin.get_linewidth()) == (2.0, 0.8)
    rejection = np.asarray(main.get_ydata(), dtype=float)
    assert np.nanmax(rejection) <= 100  # ten of a thousand
    assert np.nanmax(np.asarray(thin.get_ydata(), dtype=float)) > 100
    assert np.asarray(main.get_xdata(), dtype=float).min() > 0  # no stub at zero


def test_two_methods_on_two_signals_have_one_entry_each() -> None:
    signals = {"Z' -> dark": normal(800, 2.0, 2), "top": normal(800, 1.0, 3)}
    both = [evaluate(normal(1000, 0.0, 1), signals, name=name) for name in ("NAE", "AE")]
    entries = legend(plot_roc(both))
    assert [text.partition("  (AUC")[0] for text in entries] == ["Z′ → dark", "top", "NAE", "AE", "random"]
    assert entries[0].count("±") == 2


def test_the_floor_of_a_calibration_is_an_upper_end() -> None:
    jets = toy_jets(30)
    efficiency = np.where(np.arange(30) < 2, 0.01, 0.5)
    known = {"smallest_background_efficiency": float(np.float32(0.01))}
    for metadata, sign in ((known, "≤"), ({}, "=")):
        scores = Scores(
            score=-np.arange(30.0), background_efficiency=efficiency, entry=jets.entry, jet=jets.position,
            jet_pt=jets.jet_pt, jet_mass=jets.jet_mass, metadata=metadata,
        )  # fmt: skip
        found = captions(most_anomalous([(jets, scores)], 3))
        assert [rf"$\varepsilon_B$ {sign} 0.01" in text for text in found] == [True, True, False]
        assert r"$\varepsilon_B$ = 0.5" in found[2]


def test_the_main_part_of_a_history() -> None:
    rows = [{"step": 1, "loss": 1.0, "energy_pos": 2.0, "learning_rate": 0.1, "monitor_top": 0.7}]
    assert main_keys(rows) == ["loss", "energy_pos", "monitor_top"]
    assert main_keys([{"step": 1, "phase_step": 1, "spread": 3.0}]) == ["spread"]
