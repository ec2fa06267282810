"""How well scores separate signal from background: ROC, AUC, rejection and SIC, each with its uncertainty.

A jet is tagged when ``score >= threshold``. Signal and background efficiency (ε_S, ε_B) are the tagged
fractions; the background rejection is 1/ε_B, the significance improvement (SIC) is ε_S/√ε_B. Intervals are
central at 68.27 % unless asked otherwise. With event weights, efficiencies are weighted and every binomial
interval uses the effective count n_eff = (Σw)²/Σw².

Example:
    >>> curve = roc_curve(background_scores=[0.1, 0.2, 0.3, 0.4], signal_scores=[0.25, 0.5])
    >>> curve.auc
    0.75
    >>> curve.background_rejection(0.5)
    Interval(value=inf, low=1.61, high=inf)
"""

from .checking import check_samples
from .comparison import (
    BAND_GRID,
    PairedComparison,
    compare_paired,
    placements,
    rejection_by_bootstrap,
    same_jets,
    with_bootstrap_bands,
)
from .dependence import EfficiencyProfile, VariableSculpting, efficiency_profiles, sculpting, variables_of
from .filenames import named_files
from .inputs import Samples, classes_of, gather, gather_data, gather_runs, split_by_label
from .intervals import ONE_SIGMA, Interval, SicPoint, binomial_interval, poisson_interval
from .measures import jensen_shannon, rank_correlation
from .results import Band, Evaluation, SignalResult, either_way, evaluate
from .roc import MIN_BACKGROUND, RocCurve, roc_curve
from .spread import SignalSpread, Spread, spread_of

__all__ = [
    "BAND_GRID",
    "MIN_BACKGROUND",
    "ONE_SIGMA",
    "Band",
    "EfficiencyProfile",
    "Evaluation",
    "Interval",
    "PairedComparison",
    "RocCurve",
    "Samples",
    "SicPoint",
    "SignalResult",
    "VariableSculpting",
    "SignalSpread",
    "Spread",
    "binomial_interval",
    "check_samples",
    "classes_of",
    "compare_paired",
    "efficiency_profiles",
    "either_way",
    "evaluate",
    "gather",
    "gather_data",
    "gather_runs",
    "jensen_shannon",
    "named_files",
    "placements",
    "poisson_interval",
    "rank_correlation",
    "rejection_by_bootstrap",
    "roc_curve",
    "same_jets",
    "sculpting",
    "split_by_label",
    "spread_of",
    "variables_of",
    "with_bootstrap_bands",
]
