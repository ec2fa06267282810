"""The text above a figure: experiment, status, energy and luminosity; nothing unless it is asked for."""

from __future__ import annotations

import dataclasses

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import ConfigError
from .style import lay_out, style

__all__ = ["EXPERIMENTS", "FigureLabel", "add_label"]

#: Experiments whose label mplhep knows.
EXPERIMENTS = ("none", "CMS", "ATLAS", "LHCb", "ALICE")

# What stands after the name when the user gives no --label: nobody but the collaboration approves a figure.
_STATUS = {"ATLAS": "Work in Progress", "LHCb": "Work in Progress", "ALICE": "Work in Progress"}
_CMS_PRIVATE = "Private work (CMS simulation)"


@dataclasses.dataclass(frozen=True)
class FigureLabel:
    """What to write above a figure; with all defaults nothing is written.

    Arguments:
        experiment: One of ``EXPERIMENTS``; ``none`` for a figure of your own.
        label: Status after the experiment ("Preliminary", "Simulation"), or a text of your own without one.
            With an experiment and no label the figure says "Work in Progress", for CMS "Private work (CMS
            simulation)" without the name in bold, as its rules for work that is not public ask.
        com: Centre-of-mass energy [TeV].
        lumi: Integrated luminosity [fb⁻¹].

    Raises:
        ConfigError: for another experiment, or numbers that are not positive.
    """

    experiment: str = "none"
    label: str | None = None
    com: float | None = None
    lumi: float | None = None

    def __post_init__(self) -> None:
        if self.experiment not in EXPERIMENTS:
            raise ConfigError(
                f"unknown experiment '{self.experiment}'; choose one of {', '.join(EXPERIMENTS)}"
            )
        for name, value in (("com", self.com), ("lumi", self.lumi)):
            if value is not None and not value > 0:
                raise ConfigError(f"--{name} {value:g}: must be positive")

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.experiment == "none" and not self.label and self.com is None and self.lumi is None

    @property
    def right_text(self) -> str:
        """Luminosity and energy, as at the upper right of a figure."""
        parts = [] if self.lumi is None else [rf"{self.lumi:g} fb$^{{-1}}$"]
        if self.com is not None:
            parts.append(f"({self.com:g} TeV)" if parts else f"{self.com:g} TeV")
        return " ".join(parts)


def add_label(figure: Figure, label: FigureLabel) -> Figure:
    """Write the label above the upper left panel, and make room for it.

    Returns:
        The same figure.
    """
    if label.empty:
        return figure
    import mplhep

    with style():
        axes = _upper(figure)
        name, text = label.experiment, label.label
        if name == "none":
            name = ""
        elif name == "CMS" and text is None:
            name, text = "", _CMS_PRIVATE
        elif text is None:
            text = _STATUS[name]
        size = 17.0
        if axes.images or axes.texts:
            # something stands above the panel already: write above the whole figure
            shown = (rf"$\bf{{{name}}}$" if name else "", text or "", label.right_text)
            figure.suptitle("   ".join(part for part in shown if part), x=0.01, ha="left", fontsize=size)
            return _laid_out(figure, axes)
        mplhep.label.exp_label(
            exp=name, text=text or "", data=True, com=None, rlabel=label.right_text, loc=0, ax=axes,
            fontsize=(1.25 * size, size, size, size), fontstyle=("italic" if name == "ATLAS" else "normal",
            "normal" if name == "ATLAS" else "italic", "normal", "normal"),
        )  # fmt: skip
        return _laid_out(figure, axes)


def _laid_out(figure: Figure, axes: Axes) -> Figure:
    figure.set_layout_engine("compressed" if axes.images else "constrained")
    lay_out(figure)
    return figure


def _upper(figure: Figure) -> Axes:
    visible = [axes for axes in figure.axes if axes.get_visible()]
    return max(visible, key=lambda axes: (round(axes.get_position().y1, 2), -axes.get_position().x0))
