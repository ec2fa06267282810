"""The figures of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..detector import TrainedDetector
from ..errors import ConfigError
from ..evaluation import (
    Evaluation,
    efficiency_profiles,
    variables_of,
)
from ..evaluation.anomalies import Anomalies, captions
from ..jets import Jets
from ..plots import (
    main_keys,
    plot_efficiency,
    plot_gallery,
    plot_history,
    plot_image_grid,
    plot_images,
    plot_reconstructions,
    plot_roc,
    plot_scores,
    plot_sculpting,
    plot_sic,
)
from ..preprocessing.images import ImageConfig, JetImages
from ..runs import Run
from ..scores import Scores

__all__ = ["NamedFigure", "Sample", "figures_of"]


class NamedFigure(NamedTuple):
    """A figure with the words that go with it."""

    name: str
    title: str
    caption: str
    figure: Figure


class Sample(NamedTuple):
    """The jets of one class, and what the detector says of them."""

    scores: Scores  # weight among the extra columns where the file has it
    n_constituents: NDArray[np.int64]
    images: Jets
    anomalies: Anomalies | None


def by_channel(channels: Sequence[str]) -> str:
    return f", a row for each channel ({', '.join(channels)})" if len(channels) > 1 else ""


def figures_of(
    run: Run,
    samples: Mapping[str, Sample],
    evaluations: Sequence[Evaluation],
    found: Any,
    device: str,
) -> Any:
    """All figures of a report, in their order."""
    from ..detector.negatives import draw_negatives
    from ..detector.reconstructions import reconstruct

    several = len(evaluations) > 1
    if evaluations:
        yield NamedFigure(
            "roc", "ROC curves",
            "Background rejection against signal efficiency; bands are 68 % intervals from the number of "
            "jets. Dotted with arrows: no background jet is left, and the line is its lower bound."
            + (" Below, the ratio to the first run." if several else ""),
            plot_roc(evaluations, ratio=several),
        )  # fmt: skip
        yield NamedFigure(
            "sic", "Significance improvement",
            "How much a cut improves S/√B, where at least ten background jets pass.", plot_sic(evaluations),
        )  # fmt: skip
    yield NamedFigure(
        "scores", "Scores", "Share of jets against anomaly score; bars are statistical errors.",
        plot_scores({name: s.scores for name, s in samples.items()}),
    )  # fmt: skip
    yield NamedFigure(
        "sculpting", "Sculpting of the background",
        "Mass of background jets after cuts on the score, and its ratio to no cut: a detector that follows "
        "the mass makes bumps of its own. ('jetad plot sculpting --all' draws pT and multiplicity, too.)",
        plot_sculpting({"mass": found["mass"]} if "mass" in found else found, details=False),
    )  # fmt: skip
    background = next(iter(samples.values())).scores
    n = int((~np.isnan(background.score)).sum())
    cut = next((c for c in (0.01, 0.05, 0.1, 0.5) if c * n >= 20), 1.0)
    variables = {name: variables_of(s.scores, s.n_constituents) for name, s in samples.items()}
    profiles = efficiency_profiles(
        {name: s.scores for name, s in samples.items()}, variables, background_efficiency=cut
    )
    if profiles:
        yield NamedFigure(
            "efficiency", "Efficiency of one cut",
            f"Share of jets that pass the cut with background efficiency {cut:g}, with Clopper-Pearson "
            "intervals; arrows are upper ends where none passes.",
            plot_efficiency(profiles, background_efficiency=cut),
        )  # fmt: skip
    imager = JetImages(ImageConfig(sigma=0))
    means = {name: imager.transform(s.images) for name, s in samples.items()}
    means = {name: v for name, v in means.items() if np.any(np.isfinite(v).all(axis=(1, 2, 3)))}
    if means:
        shown = dict(list(means.items())[:4])
        yield NamedFigure(
            "images", "Mean jet images",
            "Mean of up to 2000 jets of each sample, and its difference from background.",
            plot_images(shown, difference=True),
        )  # fmt: skip
    for name, s in samples.items():
        if s.anomalies is not None and name == next(iter(samples)):
            yield NamedFigure(
                "anomalous", f"Most anomalous jets of {name}",
                "What the detector takes for signal in the background, with the keys to find each jet again.",
                plot_gallery(imager.transform(s.anomalies.jets), captions(s.anomalies)),
            )  # fmt: skip
    detector = TrainedDetector.from_run(run, device)
    jets = next(iter(samples.values())).images
    pair = reconstruct(detector, jets[:3])
    if pair is not None:
        before, after, channels = pair.pictures()
        told = captions(Anomalies(jets[:3], detector.evaluate(jets[:3])))
        yield NamedFigure(
            "reconstructions", "Reconstructions",
            f"Input, reconstruction and residual of background jets{by_channel(pair.channels)}.",
            plot_reconstructions(before, after, titles=told if channels is None else channels),
        )  # fmt: skip
    try:
        member = next(m for m, c in run.config().members.items() if c.preprocessing.representation == "image")
        drawn = draw_negatives(run, member, 8, background=jets[:80])
    except (ConfigError, StopIteration):
        pass
    else:
        pictures, rows = drawn.pictures()
        yield NamedFigure(
            "negatives", "Negatives",
            "What the model itself finds likely: where its chains start and end. They should look like "
            f"background{by_channel(drawn.channels)}.",
            plot_image_grid(pictures, n_columns=len(drawn.end), row_titles=rows),
        )  # fmt: skip
    history = run.history()
    if history:
        yield NamedFigure(
            "history",
            "Training",
            "Loss and energies against the step ('jetad plot history --all': all of it).",
            plot_history(history, keys=main_keys(history)),
        )
