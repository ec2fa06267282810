"""What the trainings of a benchmark say: detectors by their worst direction, and how far apart they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation.intervals import finite_or_none
from .paired import Difference, Direction, Placements, TestScores, difference

__all__ = ["Ranking", "Row", "Standing"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One training and its tests.

    Arguments:
        detector: Label.
        spec: Method and settings, as given.
        train: Class of the training.
        seed: Of the training.
        n_train: Training jets.
        n_test: Test jets by class.
        auc: By ``score`` and member, by class looked for.
        rejection: 1/background efficiency of the score, by class and signal efficiency; ``None``: infinite.
        seconds: Wall time of the training.
        supervised: It has seen the signal.
    """

    detector: str
    spec: str
    train: str
    seed: int
    n_train: int
    n_test: Mapping[str, int]
    auc: Mapping[str, Mapping[str, float]]
    rejection: Mapping[str, Mapping[str, float | None]]
    seconds: float
    supervised: bool = False


@dataclasses.dataclass(frozen=True)
class Standing:
    """A detector in the ranking.

    Arguments:
        detector: Label.
        auc: Mean and spread over the seeds, by direction.
        worst: Mean AUC of the worst of the ranked directions.
        fraction: (AUC - 0.5) / (ceiling - 0.5) in the direction where that is smallest, or ``None``.
        behind: Its worst AUC minus that of the first in the ranking, on the same jets; ``None`` for the
            first, for supervised detectors, and where scores were not kept.
        seconds: Mean wall time of a training.
        seeds: How many.
        supervised: It has seen the signal.
    """

    detector: str
    auc: Mapping[Direction, tuple[float, float]]
    worst: float
    fraction: float | None
    behind: Difference | None
    seconds: float
    seeds: int
    supervised: bool


@dataclasses.dataclass(frozen=True)
class Ranking:
    """All rows, and what they say.

    Arguments:
        rows: One a training.
        judged: Directions (trained on, looked for) whose worst counts; all that were tested by default.
        scores: Of the test jets, by detector, class of the training and seed, where they were kept.
    """

    rows: tuple[Row, ...]
    judged: tuple[Direction, ...] = ()
    scores: Mapping[tuple[str, str, int], TestScores] = dataclasses.field(default_factory=dict)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """(trained on, looked for), as first met."""
        return tuple(dict.fromkeys((r.train, s) for r in self.rows for s in r.auc["score"]))

    def standings(self) -> list[Standing]:
        """Best worst direction first; detectors that miss one of them last."""
        judged = self.judged or self.directions
        ceiling: dict[Direction, float] = {}
        for row in self.rows:
            if row.supervised:
                for s, value in row.auc["score"].items():
                    ceiling[row.train, s] = max(value, ceiling.get((row.train, s), 0.5))
        found = []
        for label in dict.fromkeys(r.detector for r in self.rows):
            mine = [r for r in self.rows if r.detector == label]
            auc = {}
            for background, s in self.directions:
                values = [r.auc["score"][s] for r in mine if r.train == background and s in r.auc["score"]]
                if values:
                    auc[background, s] = float(np.mean(values)), float(np.std(values))
            complete = [auc[d][0] for d in judged if d in auc]
            worst = min(complete) if len(complete) == len(judged) else np.nan
            parts = [(auc[d][0] - 0.5) / (ceiling[d] - 0.5) for d in judged if d in auc and d in ceiling]
            fraction = (
                min(parts) if len(parts) == len(judged) and all(c > 0.5 for c in ceiling.values()) else None
            )
            found.append(
                Standing(
                    label, auc, worst, fraction, None, float(np.mean([r.seconds for r in mine])),
                    len({r.seed for r in mine}), mine[0].supervised,
                )
            )  # fmt: skip
        found.sort(key=lambda s: (np.isnan(s.worst), -s.worst))
        return [dataclasses.replace(s, behind=self._behind(s, found)) for s in found]

    def difference(self, first: str, second: str, direction: Direction) -> Difference | None:
        """AUC of one detector minus that of another in a direction; ``None`` without scores of both."""
        tested = self._tested(first, direction), self._tested(second, direction)
        return None if tested[0] is None or tested[1] is None else difference(tested[0], tested[1])

    def _behind(self, standing: Standing, ranked: Sequence[Standing]) -> Difference | None:
        leader = next((s for s in ranked if not s.supervised and not np.isnan(s.worst)), None)
        if leader is None or standing is leader or standing.supervised or np.isnan(standing.worst):
            return None
        judged = self.judged or self.directions
        tested = [
            self._tested(s.detector, min(judged, key=lambda d: s.auc[d][0])) for s in (standing, leader)
        ]
        return None if tested[0] is None or tested[1] is None else difference(tested[0], tested[1])

    def _tested(self, detector: str, direction: Direction) -> Placements | None:
        kept = [s for (label, a, _), s in self.scores.items() if (label, a) == (detector, direction[0])]
        return Placements.of(direction, kept) if all(name in s for s in kept for name in direction) else None

    def cells(self) -> list[list[str]]:
        """The table as text, best first: the header, then one row a detector."""
        standings, directions = self.standings(), self.directions
        many = any(s.seeds > 1 for s in standings)
        with_ceiling = any(s.fraction is not None for s in standings)
        head = ["detector", *(f"{a} → {b}" for a, b in directions), "worst"]
        paired = any(s.behind is not None for s in standings)
        head += ["behind the first"] * paired
        head += ["of ceiling"] * with_ceiling + ["time [s]", "seeds"]
        rows = [head]
        for s in standings:
            cells = [f"{s.detector} (supervised)" if s.supervised else s.detector]
            for d in directions:
                value = "" if d not in s.auc else f"{s.auc[d][0]:.3f}"
                spread = f" ± {s.auc[d][1]:.3f}" if value and many and s.seeds > 1 else ""
                cells.append(f"{value}{spread}")
            cells.append("" if np.isnan(s.worst) else f"{s.worst:.3f}")
            if paired:
                cells.append("" if s.behind is None else f"{s.behind.value:.3f} ± {s.behind.error:.3f}")
            if with_ceiling:
                cells.append("" if s.fraction is None or s.supervised else f"{s.fraction:.2f}")
            rows.append([*cells, f"{s.seconds:.0f}", str(s.seeds)])
        return rows

    def to_markdown(self) -> str:
        """The table for a page of Markdown; supervised detectors in italics."""
        head, *rows = self.cells()
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        numbers = range(1, len(self.directions) + 2)
        for s, cells in zip(self.standings(), rows, strict=True):
            cells[0] = f"*`{s.detector}` (supervised)*" if s.supervised else f"`{s.detector}`"
            if s.supervised:
                for i in numbers:
                    cells[i] = f"*{cells[i]}*" if cells[i] else ""
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: the standings and every training."""

        def named(direction: tuple[str, str]) -> str:
            return f"{direction[0]} -> {direction[1]}"

        return {
            "judged": [named(d) for d in self.judged or self.directions],
            "standings": [
                {
                    "detector": s.detector,
                    "supervised": s.supervised,
                    "auc": {named(d): {"mean": m, "spread": w} for d, (m, w) in s.auc.items()},
                    "worst": finite_or_none(s.worst),
                    "behind": s.behind and s.behind._asdict(),
                    "fraction_of_ceiling": s.fraction,
                    "seconds": s.seconds,
                    "seeds": s.seeds,
                }
                for s in self.standings()
            ],
            "trainings": [dataclasses.asdict(r) for r in self.rows],
        }
