"""What a cut on the score does to other variables: sculpted spectra, efficiencies, and score profiles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..scores import Scores
from .intervals import ONE_SIGMA, binomial_interval, finite_or_none
from .measures import jensen_shannon, rank_correlation, threshold_at

__all__ = [
    "CUTS",
    "VARIABLES",
    "EfficiencyProfile",
    "VariableSculpting",
    "efficiency_profiles",
    "sculpting",
    "variables_of",
]

Floats = NDArray[np.float64]

#: Background efficiencies whose spectra are compared.
CUTS = (1.0, 0.5, 0.1, 0.01)

#: Variables looked at where they are known, with what stands at the axis.
VARIABLES = {
    "mass": "Jet mass [GeV]",
    "pt": r"Jet $p_T$ [GeV]",
    "multiplicity": "Number of constituents",
}

_MULTIPLICITY_COLUMNS = ("n_constituents", "jet_nparticles", "multiplicity")


def variables_of(scores: Scores, n_constituents: ArrayLike | None = None) -> dict[str, Floats]:
    """The variables of ``VARIABLES`` that are known of these jets, each ``(n,)`` float64.

    Arguments:
        scores: With ``jet_mass`` and ``jet_pt``, and kept columns.
        n_constituents: Multiplicity of the same jets; else a kept column ``n_constituents`` or
            ``jet_nparticles`` is taken.

    Raises:
        InputError: if ``n_constituents`` does not fit.
    """
    found = {"mass": scores.jet_mass.astype(np.float64), "pt": scores.jet_pt.astype(np.float64)}
    if n_constituents is None:
        n_constituents = next((scores.extra[c] for c in _MULTIPLICITY_COLUMNS if c in scores.extra), None)
    if n_constituents is not None:
        multiplicity = np.asarray(n_constituents, dtype=np.float64)
        if multiplicity.shape != (len(scores),):
            raise InputError(f"{len(multiplicity)} multiplicities for {len(scores)} jets")
        found["multiplicity"] = multiplicity
    return {name: values for name, values in found.items() if np.any(np.isfinite(values))}


@dataclasses.dataclass(frozen=True, eq=False)
class VariableSculpting:
    """One variable of the background before and after cuts on the score.

    Arguments:
        name: Of ``VARIABLES``, or any other.
        edges: Bin edges, ``(k + 1,)``; jets beyond are in the end bins.
        cuts: Background efficiencies asked for.
        n_passing: Jets that pass each cut.
        fractions: Share of the passing jets in each bin, ``(n_cuts, k)``; NaN if none passes.
        errors: Statistical error of each, ``(n_cuts, k)``.
        efficiencies: Where the divergence is given, ``(m,)``.
        divergence: Jensen-Shannon divergence [bits] of passing against all jets, ``(m,)``.
        divergence_floor: What a cut on a score without any relation to the variable would give: the
            fluctuation of few passing jets, (b - 1)(1/n_pass - 1/n)/(8 ln 2) with b filled bins, ``(m,)``.
        profile_edges: Bins of equal population, ``(j + 1,)``.
        profile: 16 %, 50 %, 84 % quantile of the score in each, ``(3, j)``.
        correlation: Rank correlation of score and variable.
    """

    name: str
    edges: Floats
    cuts: tuple[float, ...]
    n_passing: tuple[int, ...]
    fractions: Floats
    errors: Floats
    efficiencies: Floats
    divergence: Floats
    divergence_floor: Floats
    profile_edges: Floats
    profile: Floats
    correlation: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "edges": self.edges.tolist(),
            "cuts": list(self.cuts),
            "n_passing": list(self.n_passing),
            "fractions": _lists(self.fractions),
            "errors": _lists(self.errors),
            "efficiencies": self.efficiencies.tolist(),
            "jensen_shannon_bits": _lists(self.divergence),
            "jensen_shannon_floor_bits": _lists(self.divergence_floor),
            "profile_edges": self.profile_edges.tolist(),
            "profile_quantiles": _lists(self.profile),
            "rank_correlation": finite_or_none(self.correlation),
        }


def sculpting(
    background: Scores,
    variables: Mapping[str, ArrayLike],
    *,
    cuts: Sequence[float] = CUTS,
    bins: int | None = None,
    n_efficiencies: int = 25,
) -> dict[str, VariableSculpting]:
    """How cuts on the score change the spectra of background: what a bump hunt must know.

    Arguments:
        background: Scores of background jets; NaN is left out, weights are used.
        variables: Values of the same jets by name, as :func:`variables_of` gives them.
        cuts: Background efficiencies, falling.
        bins: Bins of the spectra; by default 8 to 30 with the number of jets.
        n_efficiencies: Points of the divergence curve between the smallest cut and 1.

    Raises:
        InputError: if no jet has a score, or there is no variable.
    """
    good = ~np.isnan(background.score)
    if not np.any(good):
        raise InputError("no background jet has a score")
    if not variables:
        raise InputError("the score file has neither jet_mass nor jet_pt: there is no spectrum to look at")
    scores = background[good]
    weight = np.ones(len(scores)) if scores.weight is None else scores.weight
    targets = np.geomspace(max(min(cuts), 1e-6), 1.0, n_efficiencies)
    passing = {e: scores.score >= threshold_at(scores, e) for e in (*cuts, *targets)}
    result = {}
    for name, given in variables.items():
        values = np.asarray(given, dtype=np.float64)[good]
        known = np.isfinite(values)
        if not np.any(known):
            continue
        edges = _edges(values[known], bins, whole=name == "multiplicity")
        clipped = np.clip(values, edges[0], edges[-1])

        def spectrum(
            mask: NDArray[np.bool_],
            v: Floats = clipped,
            e: Floats = edges,
            k: NDArray[np.bool_] = known,
        ) -> tuple[Floats, Floats]:
            on = mask & k
            counts = np.histogram(v[on], e, weights=weight[on])[0]
            return counts, np.sqrt(np.histogram(v[on], e, weights=weight[on] ** 2)[0])

        fractions, errors, n_passing = [], [], []
        for cut in cuts:
            counts, error = spectrum(passing[cut])
            total = counts.sum() if counts.sum() > 0 else np.nan
            fractions.append(counts / total)
            errors.append(error / total)
            n_passing.append(int((passing[cut] & known).sum()))
        everything = spectrum(np.ones(len(scores), dtype=bool))[0]
        divergence, floor = np.empty(len(targets)), np.empty(len(targets))
        n_all, filled = _n_eff(weight[known]), int((everything > 0).sum())
        for i, target in enumerate(targets):
            mask = passing[target]
            divergence[i] = jensen_shannon(spectrum(mask)[0], everything)
            n = _n_eff(weight[mask & known])
            floor[i] = (filled - 1) * max(1 / n - 1 / n_all, 0) / (8 * math.log(2)) if n else math.nan
        profile_edges, profile = _profile(values[known], scores.score[known].astype(np.float64))
        result[name] = VariableSculpting(
            name, edges, tuple(cuts), tuple(n_passing), np.array(fractions), np.array(errors), targets,
            divergence, floor, profile_edges, profile, rank_correlation(scores.score, values),
        )  # fmt: skip
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class EfficiencyProfile:
    """Fraction of a class that passes a cut on the score, in bins of a variable, with its intervals."""

    variable: str
    class_name: str
    edges: Floats
    efficiency: Floats  # (k,), NaN for an empty bin
    low: Floats
    high: Floats
    n_jets: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        columns = ("efficiency", "low", "high")
        return {
            "edges": self.edges.tolist(),
            **{name: _lists(getattr(self, name)) for name in columns},
            "n_jets": self.n_jets.tolist(),
        }


def efficiency_profiles(
    classes: Mapping[str, Scores],
    variables: Mapping[str, Mapping[str, ArrayLike]],
    *,
    background_efficiency: float = 0.01,
    bins: int = 12,
    level: float = ONE_SIGMA,
) -> list[EfficiencyProfile]:
    """Efficiency of one cut, fixed on the first class, against each variable; Clopper-Pearson intervals.

    Arguments:
        classes: Scores by name, background first.
        variables: Values by class and variable, as :func:`variables_of` gives them.
        background_efficiency: Of the cut.
        bins: Bins per variable, over the central 99 % of all classes; jets beyond are left out.
        level: Probability content of the intervals; effective counts for weights.

    Raises:
        InputError: if no background jet has a score, or too few for this cut.
    """
    names = list(classes)
    background = classes[names[0]]
    threshold = threshold_at(background, background_efficiency)
    if not math.isfinite(threshold):
        n = int((~np.isnan(background.score)).sum())
        raise InputError(
            f"{n} background jets are too few for a cut at background efficiency {background_efficiency:g}"
        )
    profiles = []
    shared = [v for v in variables[names[0]] if all(v in variables[name] for name in names)]
    for variable in shared:
        columns = {n: np.asarray(variables[n][variable], dtype=np.float64) for n in names}
        edges = _edges(
            np.concatenate([c[np.isfinite(c)] for c in columns.values()]), bins,
            whole=variable == "multiplicity", tail=0.005,
        )  # fmt: skip
        for name, scores in classes.items():
            usable = ~np.isnan(scores.score) & np.isfinite(columns[name])
            values, score = columns[name][usable], scores.score[usable]
            weight = np.ones(len(values)) if scores.weight is None else scores.weight[usable]
            where = np.clip(np.searchsorted(edges, values, side="right") - 1, -1, len(edges) - 1)
            where[values == edges[-1]] = len(edges) - 2
            efficiency, low, high = (np.full(len(edges) - 1, np.nan) for _ in range(3))
            n_jets = np.zeros(len(edges) - 1, dtype=np.int64)
            for k in range(len(edges) - 1):
                on = where == k
                n_jets[k] = int(on.sum())
                if weight[on].sum() > 0:
                    e = float(np.clip(weight[on & (score >= threshold)].sum() / weight[on].sum(), 0, 1))
                    efficiency[k] = e
                    low[k], high[k] = binomial_interval(e, _n_eff(weight[on]), level=level)
            profiles.append(EfficiencyProfile(variable, name, edges, efficiency, low, high, n_jets))
    return profiles


def _edges(values: Floats, bins: int | None, *, whole: bool, tail: float = 0.001) -> Floats:
    """Bin edges over all but the tails; half-way between whole numbers for counts."""
    low, high = np.quantile(values, [tail, 1 - tail])
    if bins is None:
        bins = int(np.clip(0.9 * len(values) ** 0.4, 8, 30))
    if whole:
        width = max(1, math.ceil((high - low + 1) / bins))
        start = math.floor(low) - 0.5
        result: NDArray[np.float64] = start + width * np.arange(math.ceil((high + 0.5 - start) / width) + 1)
        return result
    if not high > low:
        spread = max(abs(low), 1.0) * 0.05
        low, high = low - spread, high + spread
    return np.linspace(low, high, bins + 1)


def _profile(values: Floats, scores: Floats) -> tuple[Floats, Floats]:
    n = int(np.clip(len(values) // 50, 1, 12))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n + 1)))
    if len(edges) < 2:
        edges = np.array([edges[0] - 0.5, edges[0] + 0.5])
    where = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    finite = np.isfinite(scores)
    columns = [
        np.quantile(scores[on], [0.16, 0.5, 0.84]) if np.any(on) else np.full(3, np.nan)
        for on in ((where == k) & finite for k in range(len(edges) - 1))
    ]
    return edges, np.array(columns).T


def _n_eff(weights: Floats) -> float:
    squares = float(np.sum(weights**2))
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _lists(values: Floats) -> Any:
    """Nested lists with ``None`` for what is not finite."""
    if values.ndim > 1:
        return [_lists(row) for row in values]
    return [finite_or_none(float(v)) for v in values]
