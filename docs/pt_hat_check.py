"""Show what the lowest pT-hat and the parton veto do to a sample: one line per pT-hat slice.

    python docs/pt_hat_check.py qcd --events 4000

"below" is the fraction of all wanted jets that a sample starting with this slice would miss; mass and
constituents are means of the sample that starts with this slice.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from jetad.jets import Jets
from jetad.simulation import PROCESSES
from jetad.simulation.chunks import Chunk, JetSelection, run_chunk


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "process", choices=[name for name, p in PROCESSES.items() if p.lowest_pt_hat is not None]
    )
    parser.add_argument("--events", type=int, default=4000, help="per slice (default: 4000)")
    parser.add_argument(
        "--lowest", type=float, default=0.35, help="of pT-hat / smallest jet pT (default: 0.35)"
    )
    parser.add_argument("--no-veto", action="store_true", help="without the parton veto (slow)")
    arguments = parser.parse_args()
    selection = JetSelection()
    low, high = selection.pt_min, selection.pt_max
    fractions = (0.0, 0.2, 0.35, 0.45, 0.6, 0.8, 1.0)
    edges = [f * low for f in fractions if f >= arguments.lowest] + [high, 1.3 * high, None]
    process = PROCESSES[arguments.process]
    slices, rates, jets = [], [], []
    for i, pt_hat in enumerate(itertools.pairwise(edges)):
        # the lowest slice passes the veto so rarely that fewer events must do
        n_events = arguments.events // 8 if edges[i] < 0.4 * low else arguments.events
        chunk = Chunk(process, selection, pt_hat, n_events, 77, (i, 0), veto=not arguments.no_veto)
        result = run_chunk(chunk)
        slices.append(pt_hat)
        jets.append(result.jets)
        rates.append(result.cross_section * len(result.jets) / n_events * 1e9)
        print(f"  {pt_hat}: {len(result.jets)} jets of {n_events} events, {rates[-1]:.4g} pb", flush=True)
    total = sum(rates)
    weights = [rate / max(len(j), 1) for rate, j in zip(rates, jets, strict=True)]
    print(
        f"{'from':>6} {'to':>6} {'jets':>6} {'pb':>9} {'+-':>8}"
        f" {'below':>7} {'mass':>6} {'+-':>4} {'const.':>7}"
    )
    for i, (start, stop) in enumerate(slices):
        if not any(rates[i:]):
            break
        used = Jets.concatenate(jets[i:])
        weight = np.repeat(weights[i:], [len(j) for j in jets[i:]])
        mass = np.average(used.jet_mass, weights=weight)
        mass_error = np.sqrt(np.sum(weight**2 * (used.jet_mass - mass) ** 2)) / weight.sum()
        error = rates[i] / max(len(jets[i]), 1) ** 0.5
        print(
            f"{start:>6.0f} {'' if stop is None else f'{stop:.0f}':>6} {len(jets[i]):>6}"
            f" {rates[i]:>9.4g} {error:>8.2g}"
            f" {sum(rates[:i]) / total:>7.4f} {mass:>6.1f} {mass_error:>4.1f}"
            f" {np.average(used.n_constituents, weights=weight):>7.2f}"
        )


if __name__ == "__main__":
    main()
