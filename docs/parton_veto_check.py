"""Show that the parton veto drops no wanted jets.

    python docs/parton_veto_check.py qcd --events 4000

Events are generated with a veto at 60 % of the smallest jet pt instead of 85 %. For the events that make a
wanted jet, the quantiles of the pt of the hardest parton jet at the moment of the decision are printed,
relative to the smallest jet pt: nearly all of them should be far above 0.85.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import numpy as np

from jetad.simulation import PROCESSES, chunks, generator
from jetad.simulation.chunks import Chunk, JetSelection, run_chunk

LOOSE = 0.6


class Recorder:
    """Stands in for the functions of the package that know what was decided and what was found."""

    def __init__(self) -> None:
        self.parton_pt: list[float] = []
        self.wanted: list[int] = []
        self.n_events = 0
        self._veto, self._match = generator._parton_veto, chunks._match
        generator._parton_veto = self.parton_veto
        chunks._match = self.match

    def parton_veto(self, pythia8mc: Any, min_pt: float, around: int | None) -> Any:
        strict = self._veto(pythia8mc, min_pt, around)
        recorder = self

        class Loose(pythia8mc.UserHooks):
            def canVetoPT(self) -> bool:
                return True

            def scaleVetoPT(self) -> float:
                return strict.scaleVetoPT()

            def doVetoPT(self, position: int, event: Any) -> bool:
                if position == 5:
                    return False
                strict.min_pt = LOOSE * 550
                if strict.doVetoPT(position, event):
                    return True
                # bisect for the pt at which the strict veto begins to act
                low, high = LOOSE * 550, 4000.0
                while high - low > 0.5:
                    strict.min_pt = (low + high) / 2
                    if strict.doVetoPT(position, event):
                        high = strict.min_pt
                    else:
                        low = strict.min_pt
                recorder.parton_pt.append(low)
                return False

        return Loose()

    def match(self, events: Any, found: Any, pid: int | None, radius: float) -> Any:
        truth, keep = self._match(events, found, pid, radius)
        self.wanted += (self.n_events + found.event[keep]).tolist()
        self.n_events += len(events)
        return truth, keep


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("process", choices=[n for n, p in PROCESSES.items() if p.lowest_pt_hat is not None])
    parser.add_argument("--events", type=int, default=4000, help="per slice (default: 4000)")
    arguments = parser.parse_args()
    quantiles = (0.0, 0.002, 0.01, 0.05, 0.5)
    print("pT-hat       jets  below 0.85   quantiles " + "  ".join(f"{q:.3f}" for q in quantiles))
    for pt_hat in itertools.pairwise((330.0, 440.0, 550.0, 650.0)):
        recorder = Recorder()
        run_chunk(Chunk(PROCESSES[arguments.process], JetSelection(), pt_hat, arguments.events, 78, (0, 0)))
        generator._parton_veto, chunks._match = recorder._veto, recorder._match
        pt = np.array(recorder.parton_pt)[recorder.wanted] / 550
        values = "  ".join(f"{v:.3f}" for v in np.quantile(pt, quantiles))
        lost = np.mean(pt < 0.85)
        print(f"{pt_hat[0]:.0f}-{pt_hat[1]:.0f} {len(pt):>8} {lost:>11.4f}  {'':>9} {values}", flush=True)


if __name__ == "__main__":
    main()
