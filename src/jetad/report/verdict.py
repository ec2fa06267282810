"""The three sentences on top of a report: what is found, what is sculpted, and the calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..calibration import calibration_from_dict
from ..evaluation import Evaluation, either_way
from ..runs import Run

__all__ = ["verdict"]

_FOLLOWS = 0.3  # rank correlation from which cuts shape a spectrum to the eye


def verdict(
    evaluation: Evaluation | None, correlations: Mapping[str, float], run: Run
) -> tuple[str, str, str]:
    """What a reader should take home, in three sentences.

    Arguments:
        evaluation: Of the run that is reported; ``None`` without signal.
        correlations: Rank correlation of the background score with each variable.
        run: The run.

    Raises:
        InputError: if the calibration of the run is damaged.
    """
    return _finds(evaluation), _sculpts(correlations), _calibrated(run)


def _finds(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "No signal was given, so that nothing is known of what it finds."
    found: dict[bool, list[str]] = {True: [], False: []}
    for name, result in evaluation.signals.items():
        auc, mass = result.curve.auc, either_way(result.mass_only_auc)
        beyond = auc - result.curve.auc_error > max(mass, 0.5)
        found[beyond].append(f"{name} (AUC {auc:.3f}, mass {mass:.3f})")
    sentences = []
    if found[True]:
        sentences.append(f"finds {_and(found[True])} better than the jet mass alone")
    if found[False]:
        sentences.append(f"does not find {_and(found[False])} better than the jet mass alone")
    return f"It {' and '.join(sentences)}."


def _sculpts(correlations: Mapping[str, float]) -> str:
    strong = {name: value for name, value in correlations.items() if abs(value) >= _FOLLOWS}
    if not strong:
        return f"Its score follows none of {_and(correlations)} (rank correlations below {_FOLLOWS:g})."
    listed = _and(f"{name} (rank correlation {value:+.2f})" for name, value in strong.items())
    return (
        f"Its score follows {listed}: cuts on it change these spectra of the background, and a bump hunt in "
        "the mass needs 'jetad calibrate --decorrelate jet_mass'."
    )


def _calibrated(run: Run) -> str:
    values = run.read_calibration()
    calibration = calibration_from_dict(values.get("background"))
    source = values.get("source")
    where = f"of {', '.join(source)}" if isinstance(source, list) else "held out of its training files"
    return (
        f"Its background efficiencies were measured on {calibration.n} jets {where}: nothing below "
        f"{calibration.smallest:.2g} can be said."
    )


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
