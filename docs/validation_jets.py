"""Jets of a dark shower of 3 GeV mesons: a signal to choose settings with, which no table reports.

    python docs/validation_jets.py -n 3000 --seed 905 -o dark3.h5 [options of jetad simulate]

The Heidelberg-like shower of another dark sector: mesons and confinement scale of 3 GeV instead of 5, decays
to light quarks alone.
"""

from __future__ import annotations

import dataclasses
import sys

from jetad.simulation.processes import DARK_MESONS, PROCESSES, DarkSector
from jetad_cli.main import main

LIGHT = {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}

PROCESSES["dark3"] = dataclasses.replace(
    PROCESSES["heidelberg"],
    name="dark3",
    dark=DarkSector(
        mass_pi=3.0, mass_rho=3.0, mass_quark=0.5, scale=3.0, visible=dict.fromkeys(DARK_MESONS, LIGHT)
    ),
)

if __name__ == "__main__":
    main(["simulate", "dark3", *sys.argv[1:]])
