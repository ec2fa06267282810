"""From scores to a result: cut, spectrum, background from the anti-selected jets, histograms and limits.

The jets that fail a cut (the anti-selected ones) have the spectrum of the background that passes it, if the
cut does not depend on the quantity. So ``b_i = f a_i``: ``a_i`` anti-selected jets in bin i, and the transfer
factor f, the ratio of selected to anti-selected jets outside of the window where a signal may be.

Example:
    >>> from jetad.scores import Scores
    >>> data = Scores(score=[0, 2, 0, 0, 2, 0], jet_mass=[10, 20, 30, 110, 120, 130])
    >>> spectrum = select(data, cut=Cut("score", 1.0), bins=[0, 100, 200], window=(100, 200))
    >>> spectrum.transfer.value, spectrum.background.values().tolist()
    (0.5, [1.0, 1.0])
"""

from .background import Transfer
from .cuts import Cut
from .histogram import Histogram
from .rootfile import write_histograms
from .spectrum import SelectedSample, Spectrum, WindowCounts, select
from .workspace import Limit, upper_limit, workspace

__all__ = [
    "Cut",
    "Histogram",
    "Limit",
    "SelectedSample",
    "Spectrum",
    "Transfer",
    "WindowCounts",
    "select",
    "upper_limit",
    "workspace",
    "write_histograms",
]
