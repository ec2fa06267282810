"""Figures ready for a talk or a paper: results in, a matplotlib ``Figure`` out, ``save`` to PDF and PNG.

No experiment label is drawn unless it is asked for, no global state of matplotlib is touched, and no window
is opened.

Example:
    >>> from jetad.evaluation import evaluate
    >>> from jetad.scores import Scores
    >>> evaluation = evaluate(Scores(score=[0.1, 0.2, 0.3]), {"top": Scores(score=[0.25, 0.5])})
    >>> plot_roc(evaluation).axes[0].get_xlabel()
    'Signal efficiency'
"""

from .curves import plot_roc, plot_sic
from .dependence import plot_efficiency, plot_sculpting
from .distributions import plot_scores
from .history import load_history, main_keys, plot_history
from .images import plot_gallery, plot_image_grid, plot_images, plot_reconstructions
from .labels import EXPERIMENTS, FigureLabel, add_label
from .spectra import plot_spectrum
from .studies import plot_contamination, plot_robustness
from .style import COLORS, figure_paths, save

__all__ = [
    "COLORS",
    "EXPERIMENTS",
    "FigureLabel",
    "add_label",
    "figure_paths",
    "load_history",
    "main_keys",
    "plot_contamination",
    "plot_efficiency",
    "plot_gallery",
    "plot_history",
    "plot_image_grid",
    "plot_images",
    "plot_reconstructions",
    "plot_robustness",
    "plot_roc",
    "plot_scores",
    "plot_sculpting",
    "plot_sic",
    "plot_spectrum",
    "save",
]
