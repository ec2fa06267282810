"""One cut on the score, the spectrum before and after it, and the background from the jets that failed it."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..evaluation import VariableSculpting, binomial_interval, sculpting
from ..evaluation.intervals import finite_or_none
from ..scores import Scores
from .background import Transfer, measure, pulls
from .cuts import DISCRIMINANTS, Cut, column_of
from .histogram import Histogram, bin_edges, checked_edges
from .rootfile import root_name

__all__ = ["SelectedSample", "Spectrum", "WindowCounts", "select"]

_log = logging.getLogger(__name__)

_LABELS = {"jet_mass": "Jet mass [GeV]", "jet_pt": r"Jet $p_T$ [GeV]", "jet_eta": r"Jet $\eta$",
           "jet_phi": r"Jet $\phi$"}  # fmt: skip


class SelectedSample(NamedTuple):
    """One sample before and after the cut.

    Arguments:
        all: Spectrum of the jets with a score and a value.
        selected: Of those that pass.
        anti: Of those that do not.
        without: Jets that have no score or no value, which are left out.
        scale: What weights were multiplied by.
    """

    all: Histogram
    selected: Histogram
    anti: Histogram
    without: int
    scale: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: yields with underflow and overflow, and the share that passes."""
        rows = {"all": self.all, "selected": self.selected, "anti_selected": self.anti}
        yields = {
            name: {
                "jets": h.entries,
                "sum": float(h.contents.sum()),
                "error": math.sqrt(float(h.squares.sum())),
            }
            for name, h in rows.items()
        }
        value, low, high = self.share
        share = {"value": value, "low": low, "high": high}
        return {
            **yields,
            "share_selected": {k: finite_or_none(v) for k, v in share.items()},
            "left_out": self.without,
            "spectra": {name: h.to_dict() for name, h in rows.items()},
        }

    @property
    def share(self) -> tuple[float, float, float]:
        """Share of the jets that pass, with its 68 % interval (effective counts for weights)."""
        total, squares = float(self.all.contents.sum()), float(self.all.squares.sum())
        if not total > 0:
            return math.nan, math.nan, math.nan
        value = min(max(float(self.selected.contents.sum()) / total, 0.0), 1.0)
        low, high = binomial_interval(value, total**2 / squares)
        return value, float(low), float(high)


class WindowCounts(NamedTuple):
    """Selected jets in the window and what is expected of background; errors are absolute.

    ``statistical`` is that of the anti-selected jets in the window. ``significance`` is that of the excess,
    as one count and with all errors, negative where there are fewer jets than expected. Weighted jets count
    as the effective number of jets that they are.
    """

    observed: float
    observed_error: float
    background: float
    statistical: float
    transfer: float
    closure: float
    significance: float

    @property
    def error(self) -> float:
        """All errors of the background together."""
        return math.sqrt(self.statistical**2 + self.transfer**2 + self.closure**2)

    @property
    def pull(self) -> float:
        """Observed minus background over the error of the difference where there is no signal."""
        weight = self.observed_error**2 / self.observed if self.observed > 0 else 1.0
        error = math.hypot(self.error, math.sqrt(weight * self.background))
        return (self.observed - self.background) / error if error > 0 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            **{name: finite_or_none(value) for name, value in self._asdict().items()},
            "background_error": self.error,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """What :func:`select` makes: spectra, the background expected of each, and the counts in the window.

    Arguments:
        cut: The cut.
        variable: Column whose spectrum it is.
        window: Where a signal may be; ``None`` to compare whole spectra.
        data: The jets that were looked at.
        signals: Signal samples by name, scaled to what is expected.
        transfer: The transfer factor, from outside of the window.
        sculpting: Divergence of the selected spectrum from the one before, and rank correlation.
        n_signal: Jets of the data that are signal by their labels; ``None`` without labels.
    """

    cut: Cut
    variable: str
    window: tuple[float, float] | None
    data: SelectedSample
    signals: Mapping[str, SelectedSample]
    transfer: Transfer
    sculpting: VariableSculpting | None
    n_signal: int | None = None

    def __repr__(self) -> str:
        return f"Spectrum({self.variable}, {self.cut}, {self.data.selected.entries} jets selected)"

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, ``(k + 1,)``."""
        return self.data.all.edges

    @property
    def inside(self) -> slice:
        """Bins of the window; all without one."""
        if self.window is None:
            return slice(0, len(self.edges) - 1)
        first, last = np.searchsorted(self.edges, self.window)
        return slice(int(first), int(last))

    @property
    def background(self) -> Histogram:
        """Background expected among the selected jets; its variances are those of the anti-selected jets."""
        return dataclasses.replace(self.data.anti.scaled(self.transfer.value), entries=0)

    @property
    def background_errors(self) -> NDArray[np.float64]:
        """All errors of the background in each bin, ``(k,)``."""
        b, t = self.background, self.transfer
        return np.sqrt(b.variances() + (b.values() * math.hypot(t.statistical, t.closure)) ** 2)

    @property
    def pulls(self) -> NDArray[np.float64]:
        """Selected jets minus background over the statistical error of the difference, ``(k,)``."""
        return pulls(self.data.selected, self.data.anti, self.transfer)

    @property
    def counts(self) -> WindowCounts:
        """The window as one count; of all bins without a window, where the sums agree by construction."""
        observed, squares = self.data.selected.total(self.inside)
        b, variance = self.background.total(self.inside)
        transfer, closure = b * self.transfer.statistical, b * self.transfer.closure
        if self.window is None:
            transfer = closure = 0.0
        error = math.sqrt(variance + transfer**2 + closure**2)
        weight = squares / observed if observed > 0 else 1.0
        z = math.nan
        if self.window is not None:
            z = significance(observed / weight, b / weight, error / weight)
        return WindowCounts(observed, math.sqrt(squares), b, math.sqrt(variance), transfer, closure, z)

    def net(self, name: str) -> Histogram:
        """What a signal adds to the selected jets beyond what it adds to the background expected, per bin.

        Signal jets that fail the cut raise the background that is estimated, and so do those outside of
        the window that pass; both are taken off, to first order. Bins are not let below zero.
        """
        signal, f = self.signals[name], self.transfer.value
        outside = np.ones(len(self.edges) - 1, dtype=bool)
        outside[self.inside] = False
        if not outside.any():
            outside[:] = True
        selected, anti = signal.selected.values(), signal.anti.values()
        change = (selected[outside].sum() - f * anti[outside].sum()) / self.data.anti.values()[outside].sum()
        net = selected - f * anti - change * self.data.anti.values()
        return Histogram(
            self.edges, np.pad(np.maximum(net, 0.0), 1), np.pad(signal.selected.variances(), 1),
            signal.selected.label, signal.selected.entries,
        )  # fmt: skip

    def histograms(self) -> dict[str, Histogram]:
        """All spectra by the name that they have in a ROOT file, such as ``selected/data_obs``.

        ``window`` has the bins of the window alone, with the background once more for each error that all
        bins share: what combine and cabinetry read.
        """
        samples = {"data_obs": self.data, **self.signals}
        found: dict[str, Histogram] = {}
        for room, part in (("all", "all"), ("selected", "selected"), ("anti_selected", "anti")):
            found |= {f"{room}/{name}": getattr(sample, part) for name, sample in samples.items()}
        found["selected/background"] = self.background
        if self.window is not None:
            inside = self.inside
            found["window/data_obs"] = self.data.selected.cropped(inside)
            found["window/background"] = background = self.background.cropped(inside)
            for error, size in self.shared_errors().items():
                found[f"window/background_{error}Up"] = background.scaled(math.exp(size))
                found[f"window/background_{error}Down"] = background.scaled(math.exp(-size))
            found |= {f"window/{name}": self.net(name).cropped(inside) for name in self.signals}
        return found

    def shared_errors(self) -> dict[str, float]:
        """Relative errors of the background that all bins have in common, those that are not zero."""
        errors = {"transfer": self.transfer.statistical, "closure": self.transfer.closure}
        return {name: size for name, size in errors.items() if size > 0}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: the layout of ``jetad select --json``."""
        signals = {}
        for name, sample in self.signals.items():
            signals[name] = sample.to_dict()
            selected, variance = sample.selected.total(self.inside)
            signals[name]["window"] = {
                "selected": selected,
                "error": math.sqrt(variance),
                "net": self.net(name).total(self.inside)[0],
            }
        found: dict[str, Any] = {
            "cut": {"column": self.cut.column, "value": self.cut.value, "text": str(self.cut)},
            "variable": self.variable,
            "window": None if self.window is None else list(self.window),
            "data": {**self.data.to_dict(), "n_signal_by_label": self.n_signal},
            "transfer_factor": self.transfer.to_dict(),
            "background": {
                **self.background.to_dict(),
                "errors": self.background_errors.tolist(),
                "pulls": [finite_or_none(pull) for pull in self.pulls],
            },
            "window_counts": None if self.window is None else self.counts.to_dict(),
            "signals": signals,
        }
        if self.sculpting is not None:
            found["sculpting"] = {
                "rank_correlation": finite_or_none(self.sculpting.correlation),
                "jensen_shannon_bits": finite_or_none(float(self.sculpting.divergence[0])),
                "jensen_shannon_floor_bits": finite_or_none(float(self.sculpting.divergence_floor[0])),
            }
        return found


def significance(observed: float, background: float, error: float) -> float:
    """Significance of a count over a background that is known with an error, in standard deviations.

    With n observed, b expected and variance v of b,
    Z² = 2 [n ln(n (b + v)/(b² + n v)) - b²/v ln(1 + v (n - b)/(b (b + v)))].
    Negative for n < b, NaN for b = 0.

    References:
        Li, Ma, Astrophys. J. 272 (1983) 317; Cousins, Linnemann, Tucker, Nucl. Instrum. Meth. A 595
        (2008) 480

    Example:
        >>> round(significance(130, 100, 0.0), 2), round(significance(130, 100, 10.0), 2)
        (2.87, 1.98)
    """
    n, b, s2 = observed, background, error**2
    if not b > 0:
        return math.nan
    if s2 < 1e-9 * b:
        square = 2 * ((n * math.log(n / b) if n > 0 else 0.0) - (n - b))
    else:
        first = n * math.log(n * (b + s2) / (b**2 + n * s2)) if n > 0 else 0.0
        square = 2 * (first - b**2 / s2 * math.log1p(s2 * (n - b) / (b * (b + s2))))
    return math.copysign(math.sqrt(max(square, 0.0)), n - b)


def select(
    data: Scores,
    signals: Mapping[str, Scores] | None = None,
    *,
    cut: Cut,
    variable: str = "jet_mass",
    bins: int | Sequence[float] | None = None,
    window: tuple[float, float] | None = None,
    expected: Mapping[str, float] | None = None,
) -> Spectrum:
    """Cut on the score, and estimate the background of the selected jets from the others.

    Jets without a score, or without a value of the variable, are left out and counted. Event weights are
    used where the scores have them.

    Arguments:
        data: Scores of the jets to look at.
        signals: Scores of signal jets by name.
        cut: Which jets are selected.
        variable: Column whose spectrum is taken.
        bins: About how many, or their edges; by default 8 to 40 with the number of selected jets.
        window: Where a signal may be: the transfer factor is measured outside of it. Without a window it is
            measured everywhere, and only the shapes are compared.
        expected: Signal jets in the data, before the cut, by name; the weights are scaled to it.

    Returns:
        Spectra, transfer factor and counts.

    Raises:
        InputError: if there are no selected or no anti-selected jets, no values, one bin, a bin whose weights
            add up to less than zero, a name in ``expected`` that is no signal, or a signal called background.
    """
    signals = dict(signals or {})
    for name in expected or {}:
        if name not in signals:
            raise InputError(f"'{name}' is no signal; there are: {', '.join(signals) or 'none'}")
    for name in signals:
        if root_name(name).startswith(("data_obs", "background")):
            raise InputError(
                f"signal '{name}' has a name that histograms of data and background need; give NAME="
            )
    if variable in (cut.column, *DISCRIMINANTS):
        raise InputError(
            f"the cut is on {variable}, or on what it is made of; take the spectrum of another column"
        )
    if window is not None and not window[0] < window[1]:
        raise InputError(f"the window must rise, found {window[0]:g} to {window[1]:g}")
    jets = _Jets.of(data, cut, variable, "the data")
    n_passed = int((jets.passed & jets.usable).sum())
    if not n_passed:
        raise InputError(_nothing(data, cut, variable, jets.passed))
    if n_passed == jets.usable.sum():
        raise InputError(
            f"there are no anti-selected jets: all {n_passed} pass {cut}, and nothing is left to estimate "
            "the background with; cut harder"
        )
    if bins is None:
        bins = int(np.clip(1.5 * n_passed**0.4, 8, 40))
    edges = (
        bin_edges(jets.values[jets.usable], bins, window)
        if isinstance(bins, (int, np.integer))
        else checked_edges(bins, window)
    )
    control = np.ones(len(edges) - 1, dtype=bool)
    if window is not None:
        control[slice(*np.searchsorted(edges, window))] = False
    if not control.any() or len(edges) == 2:
        raise InputError(
            f"no bin of {variable} is outside of the window, and the transfer factor is measured there; take "
            "more bins"
            if window is not None
            else f"one bin of {variable}: the background expected in it is what is observed; take more bins"
        )
    label = _LABELS.get(variable, variable)
    sample = _sample(jets, edges, label, "the data")
    transfer = measure(sample.selected, sample.anti, control, variable)
    spectra = {}
    for name, scores in signals.items():
        signal = _Jets.of(scores, cut, variable, f"signal '{name}'")
        spectra[name] = _sample(signal, edges, label, f"signal '{name}'")
        if expected and name in expected:
            spectra[name] = _scaled(spectra[name], expected[name], signal, name)
    by_label = int((data.label[jets.usable] == 1).sum()) if np.any(data.label >= 0) else None
    sculpted = _sculpted(data, cut, jets, len(edges) - 1)
    return Spectrum(cut, variable, window, sample, spectra, transfer, sculpted, by_label)


class _Jets(NamedTuple):
    """Which jets pass, their values, which can be used, and their weights, each ``(n,)``."""

    passed: NDArray[np.bool_]
    values: NDArray[np.float64]
    usable: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, scores: Scores, cut: Cut, variable: str, what: str) -> _Jets:
        """What a cut and a spectrum need of scores.

        Raises:
            InputError: naming ``what``, if there are no jets, none that can be used, or no useful weights.
        """
        if not len(scores):
            raise InputError(f"{what}: there are no jets")
        try:
            passed, scored = cut.passed(scores)
            values = column_of(scores, variable)
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
        known = np.isfinite(values)
        if not known.any():
            raise InputError(f"{what}: no jet has a {variable}, all are NaN; choose another --variable")
        if not (scored & known).any():
            raise InputError(f"{what}: no jet has both a {cut.column} and a {variable}")
        weights = np.ones(len(scores)) if scores.weight is None else scores.weight
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(len(weights) * weights**2)
        if wrong.any():
            raise InputError(f"{what}: {int(wrong.sum())} jets have a weight that is no number, or too large")
        if not np.any(weights[scored & known]):
            raise InputError(f"{what}: all weights are zero")
        return cls(passed, values, scored & known, weights)


def _nothing(data: Scores, cut: Cut, variable: str, passed: NDArray[np.bool_]) -> str:
    if passed.any():
        return f"the {int(passed.sum())} jets that pass {cut} have no {variable}"
    values = cut.values(data)
    best = float(np.nanmax(values))
    if cut.column == DISCRIMINANTS[0]:
        return (
            f"no jet passes {cut}: the smallest of the {len(data)} jets is {-best:.3g}; take a larger "
            "working point, or calibrate with more jets ('jetad calibrate'), which can state smaller ones"
        )
    return f"no jet passes {cut}: the largest of the {len(data)} jets is {best:.6g}; take a lower threshold"


def _sample(jets: _Jets, edges: NDArray[np.float64], label: str, what: str) -> SelectedSample:
    """Spectra of one sample.

    Raises:
        InputError: for a bin whose weights add up to less than zero.
    """
    passed, values, usable, weights = jets
    made = [
        Histogram.of(values[on], weights[on], edges, label)
        for on in (usable, usable & passed, usable & ~passed)
    ]
    for part, spectrum in zip(("", "selected ", "anti-selected "), made, strict=True):
        below = np.flatnonzero(spectrum.values() < 0)
        if len(below):
            k = int(below[0])
            raise InputError(
                f"{what}: the weights of the {part}jets from {edges[k]:g} to {edges[k + 1]:g} add up to "
                f"{spectrum.values()[k]:.4g} ({int((weights < 0).sum())} of {len(weights)} weights are "
                "below zero); take wider bins, or more jets"
            )
    return SelectedSample(made[0], made[1], made[2], int((~usable).sum()))


def _scaled(sample: SelectedSample, expected: float, jets: _Jets, name: str) -> SelectedSample:
    """The same for so many jets before the cut, those that cannot be used among them."""
    total = float(jets.weights.sum())
    if not total > 0:
        raise InputError(
            f"signal '{name}': its weights add up to {total:.4g} and cannot be scaled to {expected:g}"
        )
    k = expected / total
    return SelectedSample(
        sample.all.scaled(k), sample.selected.scaled(k), sample.anti.scaled(k), sample.without, k
    )


def _sculpted(data: Scores, cut: Cut, jets: _Jets, n_bins: int) -> VariableSculpting | None:
    """What the cut does to the spectrum of the jets that are not signal by their labels."""
    on = jets.usable & (data.label != 1)
    passed, weights = jets.passed[on], jets.weights[on]
    total = float(weights.sum())
    share = float(weights[passed].sum()) / total if total > 0 else 0.0
    if not 0 < share < 1:
        return None
    extra = {} if data.weight is None else {"weight": weights}
    scores = Scores(score=cut.values(data)[on], extra=extra)
    found = sculpting(scores, {"x": jets.values[on]}, cuts=(1.0, share), bins=n_bins, n_efficiencies=2)
    return found.get("x")
