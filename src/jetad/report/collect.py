"""Everything a report shows: scores of all samples, evaluations, figures, tables."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..detector import TrainedDetector
from ..errors import ConfigError, InputError, of_file
from ..evaluation import (
    Evaluation,
    PairedComparison,
    check_samples,
    compare_paired,
    evaluate,
    sculpting,
    variables_of,
)
from ..evaluation.anomalies import Anomalies, most_anomalous
from ..evaluation.measures import threshold_at
from ..jets import Jets
from ..plots import (
    FigureLabel,
    add_label,
)
from ..runs import Run
from ..scores import Scores
from ..studies.robustness import Robustness, robustness
from ..studies.saved import Study
from .citations import Reference, references_of
from .figures import NamedFigure, Sample, figures_of
from .study_sections import StudySection, section_of
from .verdict import verdict

__all__ = ["CutFlowRow", "Report", "collect_report"]

logger = logging.getLogger("jetad.report")

_IMAGE_JETS = 2000
_GALLERY = 8
#: Background efficiencies of the cut flow.
_CUTS = (0.5, 0.1, 0.01)
#: Background efficiencies at which distorted jets are looked at, where so many background jets pass.
_ROBUSTNESS_CUTS, _ROBUSTNESS_PASS = (0.1, 0.01), 10


class CutFlowRow(NamedTuple):
    """Jets of one sample: read, scored, and after each cut on the score; weighted sums beside the counts."""

    sample: str
    counts: tuple[int, ...]
    sums: tuple[float, ...] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What the page is made of."""

    title: str
    runs: Mapping[str, Run]
    evaluations: Sequence[Evaluation]  # none without signal
    paired: Sequence[PairedComparison]
    figures: Sequence[NamedFigure]
    studies: Sequence[StudySection]
    cut_names: Sequence[str]
    cut_flow: Sequence[CutFlowRow]
    correlations: Mapping[str, float]
    references: Sequence[Reference]
    inputs: Mapping[str, Sequence[str]]
    notes: Sequence[str]
    verdict: Sequence[str]  # three sentences


def collect_report(
    runs: Mapping[str, Run],
    background: Sequence[Path],
    signals: Mapping[str, Sequence[Path]],
    *,
    background_name: str = "background",
    studies: Sequence[Study] = (),
    label: FigureLabel | None = None,
    max_jets: int | None = 20_000,
    allow: Collection[str] = (),
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Score the files with every run and draw all that can be drawn; the first run is the one reported.

    Arguments:
        runs: Finished runs by name; further ones are compared with the first on the same jets.
        background: Files of background jets that no run was trained on.
        signals: Files of signal jets by name; may be empty.
        background_name: What the background is called.
        studies: Made before; without one of robustness, the first jets of each sample are distorted here.
        label: What to write above the figures.
        max_jets: Jets read of each sample; ``None`` for all.
        allow: What is refused otherwise, as :func:`jetad.checks.allowed.refuse` takes it.
        device: Where to score.
        say: Called with a line of progress.

    Raises:
        ConfigError: without a run.
        InputError: for a file that cannot be read, a sample without any score, one whose labels contradict
            its role, two that are the same, or jets whose units are not those of the training.
    """
    if not runs:
        raise ConfigError("give at least one run to report on")
    notes: list[str] = []
    _note_training_files(runs, background, signals, notes)
    paths = {background_name: list(background), **{name: list(files) for name, files in signals.items()}}
    samples: dict[str, dict[str, Sample]] = {}
    for i, (run_name, run) in enumerate(runs.items()):
        say(f"scoring with {run_name}")
        detector = TrainedDetector.from_run(run, device)
        samples[run_name] = {
            name: _score(detector, files, max_jets, notes, allow, gallery=i == 0)
            for name, files in paths.items()
        }
    main = next(iter(runs))
    first = samples[main]
    check_samples(
        first[background_name].scores, {name: s.scores for name, s in first.items() if name in signals}, allow
    )
    for name, sample in first.items():
        lost = int(np.isnan(sample.scores.score).sum())
        if lost:
            notes.append(f"{name}: {lost} of {len(sample.scores)} jets could not be scored and are left out")
        if max_jets is not None and len(sample.scores) >= max_jets:
            notes.append(f"{name}: only the first {max_jets} jets were read")

    say("drawing")
    evaluations = [
        evaluate(
            s[background_name].scores,
            {n: s[n].scores for n in signals},
            name=run_name if len(runs) > 1 else "",
        )
        for run_name, s in samples.items()
        if signals
    ]
    found = sculpting(
        first[background_name].scores,
        variables_of(first[background_name].scores, first[background_name].n_constituents),
    )
    run = runs[main]
    if not any(isinstance(study, Robustness) for study in studies):
        studies = [*_robustness(TrainedDetector.from_run(run, device), first, background_name, say), *studies]
    figures = list(figures_of(run, first, evaluations, found, device))
    sections = [section_of(study) for study in studies]
    if label is not None:
        for figure in (*(named.figure for named in figures), *(section.figure for section in sections)):
            add_label(figure, label)
    return Report(
        title=main if main == run.config().method else f"{main}: {run.config().method}",
        runs=runs,
        evaluations=evaluations,
        paired=_pairs(samples, main, background_name, signals),
        figures=figures,
        studies=sections,
        cut_names=["read", "scored", *(f"ε_B ≤ {cut:g}" for cut in _CUTS)],
        cut_flow=_cut_flow(first, background_name),
        correlations={name: v.correlation for name, v in found.items()},
        references=references_of(run.config(), evaluation=bool(signals), sculpting=True),
        inputs={name: [str(p) for p in files] for name, files in paths.items()},
        notes=notes,
        verdict=verdict(
            evaluations[0] if evaluations else None,
            {name: v.correlation for name, v in found.items()},
            run,
        ),
    )


def _note_training_files(
    runs: Mapping[str, Run],
    background: Sequence[Path],
    signals: Mapping[str, Sequence[Path]],
    notes: list[str],
) -> None:
    """Say which samples a run was trained on, and which run is no anomaly detector."""
    from ..runs.provenance import file_hash

    for name, run in runs.items():
        known = {entry["sha256"]: entry["path"] for entry in run.provenance.get("signal_inputs", [])}
        if not known:
            continue
        notes.append(
            f"{name}: method '{run.config().method}' is a supervised reference, trained with signal "
            f"({', '.join(known.values())}); it is no anomaly detector"
        )
        for path in (path for files in signals.values() for path in files):
            if path.is_file() and file_hash(path) in known:
                notes.append(f"{path.name}: {name} was trained on this file; it looks better than it is")
    trained = {entry["sha256"] for run in runs.values() for entry in run.provenance.get("inputs", [])}
    for path in background:
        if path.is_file() and file_hash(path) in trained:
            notes.append(
                f"{path.name}: a run was trained on this file; its background looks better than it is"
            )
            logger.warning("warning: %s", notes[-1])


def _score(
    detector: TrainedDetector, files: Sequence[Path], max_jets: int | None, notes: list[str],
    allow: Collection[str], *, gallery: bool,
) -> Sample:  # fmt: skip
    from ..readers import iterate

    tables: list[Scores] = []
    counts: list[NDArray[np.int64]] = []
    some: list[Jets] = []
    best: list[Anomalies] = []
    n = 0
    for path in files:
        looked_at = False
        for jets in iterate(path):
            if max_jets is not None:
                jets = jets[: max_jets - n]
            if not len(jets):
                break
            detector.training.check(jets, path, allow)
            for sentence in [] if looked_at else detector.training.remarks(jets):
                notes.append(f"{path.name}: {sentence}")
                logger.warning("warning: %s", notes[-1])
            looked_at = True
            with of_file(path):
                scores = detector.evaluate(jets)
            if jets.weights is not None:
                scores = dataclasses.replace(scores, extra={**scores.extra, "weight": jets.weights})
            tables.append(scores)
            counts.append(jets.n_constituents)
            if n < _IMAGE_JETS:
                some.append(jets[: _IMAGE_JETS - n])
            if gallery and not np.all(np.isnan(scores.score)):
                best.append(most_anomalous([(jets, scores)], _GALLERY))
            n += len(jets)
    if not n:
        raise InputError(f"{', '.join(str(p) for p in files)}: holds zero jets, there is nothing to report")
    anomalies = most_anomalous(best, _GALLERY) if best else None
    return Sample(Scores.concatenate(tables), np.concatenate(counts), Jets.concatenate(some), anomalies)


def _pairs(
    samples: Mapping[str, Mapping[str, Sample]], main: str, background: str, signals: Mapping[str, Any]
) -> list[PairedComparison]:
    def scores(run: str, signal: str) -> tuple[Scores, Scores]:
        return samples[run][background].scores, samples[run][signal].scores

    return [
        compare_paired(scores(main, signal), scores(other, signal), names=(main, other), signal=signal)
        for other in samples
        if other != main
        for signal in signals
    ]


def _robustness(
    detector: Any, samples: Mapping[str, Sample], background: str, say: Callable[[str], None]
) -> list[Robustness]:
    """The first jets of each sample distorted, unless there are no constituents or too few jets."""
    jets = {name: sample.images for name, sample in samples.items()}
    n = int((~np.isnan(samples[background].scores.score[: len(jets[background])])).sum())
    cuts = [cut for cut in _ROBUSTNESS_CUTS if cut * n >= _ROBUSTNESS_PASS]
    if not cuts or not all(some.has_constituents for some in jets.values()):
        return []
    say("scoring distorted jets")
    signals = {name: some for name, some in jets.items() if name != background}
    return [robustness(detector, jets[background], signals, background_name=background, cuts=cuts)]


def _cut_flow(samples: Mapping[str, Sample], background: str) -> list[CutFlowRow]:
    thresholds = [-np.inf, *(threshold_at(samples[background].scores, cut) for cut in _CUTS)]
    rows = []
    for name, sample in samples.items():
        score, weight = sample.scores.score, sample.scores.weight
        masks = [np.ones(len(score), dtype=bool), *(score >= t for t in thresholds)]  # NaN passes no cut
        sums = None if weight is None else tuple(float(weight[m].sum()) for m in masks)
        rows.append(CutFlowRow(name, tuple(int(m.sum()) for m in masks), sums))
    return rows
