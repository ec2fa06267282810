"""Which score files are background, which are signal, and what each signal is called."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..checks.jets import check_label_of
from ..errors import InputError
from ..scores import Scores, load_scores
from .checking import check_jets
from .filenames import expand_pattern, named_files, split_name

__all__ = ["Samples", "classes_of", "gather", "gather_data", "gather_runs", "split_by_label"]

_log = logging.getLogger(__name__)


_LABELS = {"background": 0, "signal": 1, "of unknown label": -1}


class Samples(NamedTuple):
    """One background and the signals to compare with it."""

    background: Scores
    signals: Mapping[str, Scores]
    method: str = ""


def gather(
    *,
    background: Sequence[str] = (),
    signal: Sequence[str] = (),
    labelled: Sequence[str] = (),
    allow: Collection[str] = (),
) -> Samples:
    """Read score files and sort their jets into one background and named signals.

    Labels decide where a file holds both classes, and for ``labelled`` files. A file whose labels contradict
    its role altogether is refused, but for ``allow=["labels"]``: ``background=["top.scores.h5"]`` is right
    for a detector trained on top jets.

    Arguments:
        background: Files, together one sample. With no signal named at all, files with both labels are split.
        signal: ``NAME=FILE`` or ``FILE``; files of one NAME are one sample.
        labelled: Files to split by label: 0 is background, 1 is a signal named after the file.
        allow: What is refused otherwise, as :func:`jetad.checks.allowed.refuse` takes it.

    Raises:
        InputError: for a bad file, a missing class, scores of several models, labels that contradict the role
            of a file, or a signal that is the background.
    """
    files = {
        "background": named_files(background),
        "signal": named_files(signal),
        "labelled": named_files(labelled),
    }
    loaded = _of_one_model(path for named in files.values() for paths in named.values() for path in paths)

    def jets(paths: Iterable[Path]) -> Scores:
        return Scores.concatenate([loaded[path] for path in paths])

    signals = {}
    given: list[tuple[Scores, str, str]] = []
    for name, paths in files["signal"].items():
        sample = jets(paths)
        given.append((sample, f"signal '{name}'", "signal"))
        signals[name] = _of_class(sample, 1, f"signal '{name}'")
    background_jets = []
    for name, paths in files["background"].items():
        scores = jets(paths)
        where = ", ".join(str(path) for path in paths)
        if not signal and not labelled:
            part, signals[name] = split_by_label(scores, where=where)
            background_jets.append(part)
        else:
            given.append((scores, where, "background"))
            background_jets.append(_of_class(scores, 0, where))
    for name, paths in files["labelled"].items():
        scores = jets(paths)
        background_jets.append(scores[scores.label == 0])
        if np.any(scores.label == 1):
            signals[name] = scores[scores.label == 1]
    if labelled and not (signals and any(len(part) for part in background_jets)):
        split_by_label(jets(loaded), where=", ".join(labelled))
    _warn_about_lost_weights("background", background_jets)
    together = Scores.concatenate(background_jets)
    check_jets(together, signals, allow)
    for scores, where, role in given:
        check_label_of(scores.label, where, allow, role=role)
    return Samples(together, signals, str(together.metadata.get("method", "")))


def gather_data(
    data: Sequence[str], signal: Sequence[str] = (), allow: Collection[str] = ()
) -> tuple[Scores, dict[str, Scores]]:
    """Read the score files of data, all jets of them whatever their labels, and of named signals.

    Arguments:
        data: Files, together one sample.
        signal: ``NAME=FILE`` or ``FILE``; files of one NAME are one sample. Of a labelled file the jets of
            label 1 are taken.
        allow: What is refused otherwise, as :func:`jetad.checks.allowed.refuse` takes it.

    Returns:
        The data and the signals by name.

    Raises:
        InputError: for a bad file, scores of several models or calibrations, data that are all signal, a
            signal that is all background, or a signal that is the data.
    """
    files = [path for paths in named_files(data).values() for path in paths]
    named = named_files(signal)
    loaded = _of_one_model([*files, *(path for paths in named.values() for path in paths)])
    _refuse_several_calibrations(loaded)
    parts = [loaded[path] for path in files]
    _warn_about_lost_weights("data", parts)
    together = Scores.concatenate(parts)
    check_label_of(together.label, ", ".join(map(str, files)), allow, role="background")
    signals = {}
    for name, paths in named.items():
        parts = [loaded[path] for path in paths]
        _warn_about_lost_weights(f"'{name}'", parts)
        sample = Scores.concatenate(parts)
        check_label_of(sample.label, f"signal '{name}'", allow, role="signal")
        signals[name] = _of_class(sample, 1, f"signal '{name}'")
    check_jets(together, signals, allow, "the data")
    return together, signals


def gather_runs(
    *,
    background: Sequence[str] = (),
    signal: Sequence[str] = (),
    labelled: Sequence[str] = (),
    by: str = "run",
    allow: Collection[str] = (),
) -> dict[str, Samples]:
    """Score files of several detectors, one :class:`Samples` each, as :func:`gather` makes them.

    Arguments:
        background: As for :func:`gather`, of all detectors.
        signal: The same.
        labelled: The same.
        by: What tells the detectors apart: ``run`` (the run a score file names, and its model) or ``folder``
            (where the file is).
        allow: As for :func:`gather`.

    Raises:
        InputError: for a bad file, or a detector without background or signal.
    """
    given = {"background": background, "signal": signal, "labelled": labelled}
    found: list[tuple[str, str, Path, str]] = []
    for role, texts in given.items():
        for text in texts:
            name, path_text = split_name(text)
            for path in expand_pattern(path_text):
                found.append((role, name, path, _detector(path, by)))
    shown = _short_names({key: path for _, _, path, key in found}, by)
    groups: dict[str, dict[str, list[str]]] = {}
    for role, name, path, key in found:
        files = groups.setdefault(shown[key], {role: [] for role in given})
        files[role].append(f"{name}={path}" if name else str(path))
    samples = {}
    for group, files in groups.items():
        if files["labelled"]:
            continue
        missing = [role for role in ("background", "signal") if not files[role] and given[role]]
        if missing:
            there = ", ".join(files["background"] + files["signal"])
            raise InputError(f"{by} '{group}': has no {missing[0]} scores (found {there})")
    for group, files in groups.items():
        try:
            samples[group] = gather(**files, allow=allow)
        except InputError as error:
            raise InputError(f"{by} '{group}': {error}") from error
    return samples


def _detector(path: Path, by: str) -> str:
    if by == "folder":
        return str(path.absolute().parent)
    metadata = load_scores(path).metadata
    if "run" not in metadata and "model_hash" not in metadata:
        raise InputError(f"{path}: does not say which run it comes from; tell runs apart by folder instead")
    return f"{metadata.get('run', '')}\n{metadata.get('model_hash', '')}"


def _short_names(detectors: Mapping[str, Path], by: str) -> dict[str, str]:
    """A name to show for each detector, longer only where two would be the same."""
    if by == "folder":
        parts = {key: Path(key).parts for key in detectors}
        depth = 1
        while len({p[-depth:] for p in parts.values()}) < len(parts):
            depth += 1
        return {key: "/".join(p[-depth:]) for key, p in parts.items()}
    short = {key: key.split("\n")[0] or key.split("\n")[1][:8] for key in detectors}
    taken = list(short.values())
    return {
        key: f"{name} ({key.split(chr(10))[1][:8]})" if taken.count(name) > 1 else name
        for key, name in short.items()
    }


def classes_of(given: Iterable[str]) -> dict[str, Scores]:
    """Scores by class, background first: a file with both labels gives two classes, any other file one.

    Arguments:
        given: ``NAME=FILE`` or ``FILE``, as in :func:`gather`.

    Raises:
        InputError: for a bad file, or scores of several models.
    """
    named = named_files(given)
    classes = {}
    loaded = {path: load_scores(path) for paths in named.values() for path in paths}
    _refuse_several_models(loaded)
    for name, paths in named.items():
        scores = Scores.concatenate([loaded[path] for path in paths])
        if np.any(scores.label == 0) and np.any(scores.label == 1):
            before = f"{name} " if len(named) > 1 else ""
            classes[before + "background"], classes[before + "signal"] = split_by_label(scores)
        else:
            classes[name] = scores
    return dict(sorted(classes.items(), key=lambda item: not np.all(item[1].label == 0)))


def split_by_label(scores: Scores, *, where: str = "the scores") -> tuple[Scores, Scores]:
    """Background (label 0) and signal (label 1) of one labelled table.

    Raises:
        InputError: if one of the two is missing; unknown labels (-1) belong to neither.
    """
    counts = {name: int((scores.label == value).sum()) for name, value in _LABELS.items()}
    for name in ("background", "signal"):
        if counts[name] == 0:
            found = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "no jets at all"
            raise InputError(
                f"{where}: no {name} jets among the labels (found {found}); "
                "name the two classes by --background FILE and --signal FILE"
            )
    return scores[scores.label == 0], scores[scores.label == 1]


def _of_class(scores: Scores, label: int, where: str) -> Scores:
    """All jets, or those of one label where the table holds both."""
    other = scores.label == 1 - label
    if np.any(other) and np.any(scores.label == label):
        _log.warning("%s: %d jets of the other label are left out", where, int(other.sum()))
        return scores[~other]
    return scores


def _of_one_model(paths: Iterable[Path]) -> dict[Path, Scores]:
    """Score files that can be compared, read.

    Raises:
        InputError: for a bad file, or scores of several models.
    """
    loaded = {path: load_scores(path) for path in paths}
    _refuse_several_models(loaded)
    _warn_about_training_jets(loaded)
    _warn_about_selections(loaded)
    return loaded


def _warn_about_lost_weights(what: str, parts: Sequence[Scores]) -> None:
    if len({part.weight is None for part in parts}) > 1:
        _log.warning("warning: some %s files have no weights; all %s jets count as one each", what, what)


def _refuse_several_models(loaded: Mapping[Path, Scores]) -> None:
    """Scores of different models have nothing to do with each other.

    Raises:
        InputError: naming a file of each model.
    """
    models: dict[str, Path] = {}
    silent: list[Path] = []
    for path, scores in loaded.items():
        model = scores.metadata.get("model_hash")
        if model is None:
            silent.append(path)
        else:
            models.setdefault(str(model), path)
    if len(models) > 1:
        which = ", ".join(f"{path} ({model[:12]})" for model, path in models.items())
        raise InputError(
            f"these scores come from different models and cannot be compared: {which}; score all files with "
            "one run ('jetad roc --by run' makes one curve per run)"
        )
    if models and silent:
        _log.warning(
            "warning: %s: does not say which run it comes from; is it that of %s?",
            silent[0], next(iter(models.values())),
        )  # fmt: skip


def _refuse_several_calibrations(loaded: Mapping[Path, Scores]) -> None:
    """One cut on the background efficiency means different cuts on the score where calibrations differ.

    Raises:
        InputError: naming a file of each calibration.
    """
    found: dict[str, Path] = {}
    for path, scores in loaded.items():
        if "calibration_hash" in scores.metadata:
            found.setdefault(str(scores.metadata["calibration_hash"]), path)
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(map(str, found.values()))} were scored with different calibrations of the run; "
            "score all files again with 'jetad score'"
        )


def _warn_about_training_jets(loaded: Mapping[Path, Scores]) -> None:
    for path, scores in loaded.items():
        if scores.metadata.get("input_trained_on"):
            _log.warning(
                "warning: %s: holds jets that the detector was trained on, which look more normal than "
                "unseen ones: the numbers are too good; score other background",
                path,
            )


def _warn_about_selections(loaded: Mapping[Path, Scores]) -> None:
    """Classes that were cut in different ways differ by the cut, too."""
    cuts: dict[str, tuple[Path, str]] = {}
    for path, scores in loaded.items():
        text = str(scores.metadata.get("selection", ""))
        cuts.setdefault("".join(text.split()), (path, text))
    if len(cuts) > 1:
        which = ", ".join(
            f"{path} ({f'--select {text!r}' if text else 'all jets'})" for path, text in cuts.values()
        )
        _log.warning(
            "warning: jets were selected in different ways: %s; the numbers are of the cuts, too: score all "
            "files with one --select", which,
        )  # fmt: skip
