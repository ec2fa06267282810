"""The whole job on the shipped samples: train, score, evaluate, draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import OutputError
from ..files import atomic_output
from .samples import sample

if TYPE_CHECKING:
    from ..evaluation import Evaluation

__all__ = ["BACKGROUND", "SIGNALS", "DemoResult", "run_demo"]

BACKGROUND = "qcd_test.h5"
SIGNALS = {"top": "top.h5", "svj": "svj.h5", "aachen": "aachen.h5", "heidelberg": "heidelberg.h5"}
#: The default, the other classical density, the normalized and the plain autoencoder, on the same inputs.
METHODS = ("gmm", "knn", "nae", "ae")
#: ROC curves of more than two hide each other.
DRAWN = ("gmm", "ae")
ROOT_SIGNALS = {"top": "top.root", "heidelberg": "heidelberg.root"}


class DemoResult(NamedTuple):
    """What the demo found and where it left it."""

    evaluations: dict[str, Evaluation]  # by method, on the HDF5 samples
    root: Evaluation  # the default method on the ROOT samples
    folder: Path


def run_demo(
    folder: Path,
    *,
    seed: int = 1,
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, str, int, int, Mapping[str, Any]], None] | None = None,
) -> DemoResult:
    """Train the default detector on QCD jets and, beside it, three others; score; draw.

    Leaves a run of each method under its name, ``scores/``, ``roc``, ``images``, ``negatives``,
    ``history`` (PDF and PNG) and ``results.json`` in ``folder``.

    Raises:
        OutputError: if ``folder`` exists and is not empty.
    """
    import numpy as np

    from ..config import resolve_config
    from ..detector.negatives import draw_negatives
    from ..evaluation import evaluate
    from ..plots import plot_history, plot_image_grid, plot_images, plot_roc, save
    from ..preprocessing.images import JetImages
    from ..production import score_file
    from ..readers import read
    from ..runs import Run
    from ..scores import load_scores
    from ..training.train import prepare_run, train

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: exists already; choose another --output or remove it")
    training = sample("qcd_train.h5")
    files = {"qcd": sample(BACKGROUND), **{name: sample(file) for name, file in SIGNALS.items()}}
    root_files = {
        "qcd": sample("qcd_test.root"),
        **{name: sample(file) for name, file in ROOT_SIGNALS.items()},
    }

    background = read([training])
    evaluations: dict[str, Any] = {}
    detectors: dict[str, Any] = {}
    root: Any = None
    for method in METHODS:
        say(f"training '{method}' on {len(background)} QCD jets of {training.name}")
        config = resolve_config(method=method, seed=seed)
        run = prepare_run(
            config, [training], output=folder / method, command=["jetad", "demo"], device=device
        )
        detector = detectors[method] = train(run, background, device=device, progress=progress)
        scores = folder / "scores" / method
        scores.mkdir(parents=True)
        tables = {}
        for name, path in files.items():
            score_file(detector, path, scores / f"{name}.scores.h5")
            tables[name] = load_scores(scores / f"{name}.scores.h5")
        evaluations[method] = evaluate(tables.pop("qcd"), tables, name=method.upper())
        if root is None:
            tables = {}
            for name, path in root_files.items():
                score_file(detector, path, scores / f"{name}.scores.root")
                tables[name] = load_scores(scores / f"{name}.scores.root")
            root = evaluate(tables.pop("qcd"), tables, name=f"{method.upper()}, ROOT")

    say("drawing")
    save(plot_roc([evaluations[method] for method in DRAWN]), folder / "roc")
    imager = JetImages()
    save(
        plot_images({name: imager.transform(read([path], max_jets=2000)) for name, path in files.items()}),
        folder / "images",
    )
    nae = Run.open(folder / "nae")
    drawn = draw_negatives(nae, "image", 8)
    jets = detectors["nae"].members[0].preprocessor.transform(background[:8])
    rows = np.concatenate([jets, drawn.end])
    save(plot_image_grid(rows, n_columns=8, row_titles=["QCD jets", "negatives"]), folder / "negatives")
    save(plot_history(nae.history()), folder / "history")
    with atomic_output(folder / "results.json") as temporary:
        results = {method: evaluation.to_dict() for method, evaluation in evaluations.items()}
        temporary.write_text(json.dumps({**results, f"{METHODS[0]}_root": root.to_dict()}, allow_nan=False))
    return DemoResult(evaluations, root, folder)
