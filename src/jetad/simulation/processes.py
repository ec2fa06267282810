"""What can be simulated: name -> Pythia settings, and how its jets are recognised."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..errors import ConfigError
from ..registry import closest_first

__all__ = ["PROCESSES", "DarkSector", "Process", "find_process", "with_dark_options"]

# a dark meson of a few GeV decays to what is light enough, democratically: d, u, s, c
_LIGHT_QUARKS = {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25}
_LIGHT_QUARKS_B = {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2}
# a heavier dark pion decays through a mass insertion; Pythia's own table for piv of 10-20 GeV
_MASS_INSERTION = {4: 0.08, 5: 0.87, 15: 0.05}

PI_DIAGONAL, RHO_DIAGONAL, PI_OFF, RHO_OFF = 4900111, 4900113, 4900211, 4900213
DARK_MESONS = (PI_DIAGONAL, RHO_DIAGONAL, PI_OFF, RHO_OFF)


@dataclasses.dataclass(frozen=True)
class DarkSector:
    """A Pythia Hidden Valley behind a heavy s-channel Z' (Carloni, Rathsman, Sjostrand, 1102.3795).

    Arguments:
        mass_mediator: Z' mass [GeV].
        mass_pi: Dark pion mass [GeV].
        mass_rho: Dark rho mass [GeV].
        mass_quark: Dark quark mass [GeV].
        scale: Confinement scale of the running dark coupling [GeV].
        n_gauge: Dark colours.
        probability_vector: Fraction of vector mesons in the dark fragmentation.
        visible: Meson id -> branching fractions to Standard-Model pairs (by id, summing to 1);
            a meson that is not named is stable and invisible.
        r_inv: Fraction of the decays of the ``visible`` mesons that are replaced by invisible ones.
    """

    mass_mediator: float = 2000.0
    mass_pi: float = 20.0
    mass_rho: float = 20.0
    mass_quark: float = 10.0
    scale: float = 35.15
    n_gauge: int = 3
    probability_vector: float = 0.75
    visible: Mapping[int, Mapping[int, float]] = dataclasses.field(default_factory=dict)
    r_inv: float = 0.0

    def settings(self) -> list[str]:
        """The Pythia lines of this dark sector."""
        masses = {
            4900023: self.mass_mediator,
            4900101: self.mass_quark,
            PI_DIAGONAL: self.mass_pi,
            PI_OFF: self.mass_pi,
            RHO_DIAGONAL: self.mass_rho,
            RHO_OFF: self.mass_rho,
        }
        lines = ["HiddenValley:ffbar2Zv = on"]
        lines += [f"{pid}:m0 = {mass:g}" for pid, mass in masses.items()]
        lines += [
            f"4900023:mWidth = {0.01 * self.mass_mediator:g}",
            f"4900023:mMin = {0.5 * self.mass_mediator:g}",
            "4900023:onMode = off",
            "4900023:onIfAny = 4900101",
            "HiddenValley:spinFv = 0",
            f"HiddenValley:Ngauge = {self.n_gauge}",
            "HiddenValley:nFlav = 2",
            "HiddenValley:FSR = on",
            "HiddenValley:fragment = on",
            "HiddenValley:alphaOrder = 1",  # setLambda has no effect at order 0
            "HiddenValley:setLambda = on",
            f"HiddenValley:Lambda = {self.scale:g}",
            f"HiddenValley:pTminFSR = {1.1 * self.scale:g}",
            f"HiddenValley:probVector = {self.probability_vector:g}",
        ]
        if self.r_inv > 0:
            # the invisible daughters must be light enough for the mesons
            lines += ["51:m0 = 0.0", "51:isResonance = false", "51:mayDecay = off"]
        for meson in DARK_MESONS:
            lines += self._decays(meson)
        return lines

    def _decays(self, meson: int) -> list[str]:
        if meson not in self.visible:
            return [f"{meson}:mayDecay = off"]
        channels = [(fraction * (1 - self.r_inv), 91, pid) for pid, fraction in self.visible[meson].items()]
        if self.r_inv > 0:
            channels.append((self.r_inv, 0, 51))
        lines = [
            f"{meson}:{'addChannel' if k else 'oneChannel'} = 1 {fraction:.6f} {mode} {pid} -{pid}"
            for k, (fraction, mode, pid) in enumerate(channels)
        ]
        return [*lines, f"{meson}:mayDecay = on", f"{meson}:isResonance = false"]


@dataclasses.dataclass(frozen=True)
class Process:
    """One kind of jets.

    Arguments:
        name: Name on the command line.
        description: One line for users.
        label: Truth: 0 background, 1 signal.
        class_label: Column of the JetClass layout that is 1 for these jets.
        hard_process: Pythia lines that choose the hard process.
        lowest_pt_hat: Where its pT-hat slices begin, relative to the smallest jet pt; ``None`` for a
            resonance, which needs no slices. docs/simulation.md shows what lies below.
        matched: Id of the particle whose decay the jet has to contain (6 top, 24 W, 25 Higgs), or ``None``.
        dark: The dark sector, or ``None``.
    """

    name: str
    description: str
    label: int
    class_label: str
    hard_process: tuple[str, ...] = ()
    lowest_pt_hat: float | None = None
    matched: int | None = None
    dark: DarkSector | None = None

    def settings(self) -> list[str]:
        """The Pythia lines of the hard process."""
        return [*self.hard_process, *(self.dark.settings() if self.dark else [])]


_HADRONIC_W = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")

PROCESSES: dict[str, Process] = {
    p.name: p
    for p in (
        Process(
            "qcd",
            "QCD dijets, quark and gluon jets as they come",
            0,
            "label_QCD",
            ("HardQCD:all = on",),
            lowest_pt_hat=0.45,
        ),
        Process(
            "top",
            "top quarks from all-hadronic ttbar, the three quarks inside the jet",
            1,
            "label_Tbqq",
            ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_HADRONIC_W),
            lowest_pt_hat=0.2,
            matched=6,
        ),
        Process(
            "w",
            "hadronic W bosons from W + jet, both quarks inside the jet",
            1,
            "label_Wqq",
            ("WeakBosonAndParton:qqbar2Wg = on", "WeakBosonAndParton:qg2Wq = on", *_HADRONIC_W),
            lowest_pt_hat=0.6,
            matched=24,
        ),
        Process(
            "higgs",
            "Higgs bosons to b quarks from gluon fusion with a jet, both quarks inside the jet",
            1,
            "label_Hbb",
            (
                "HiggsSM:gg2Hg(l:t) = on",
                "HiggsSM:qg2Hq(l:t) = on",
                "HiggsSM:qqbar2Hg(l:t) = on",
                "25:onMode = off",
                "25:onIfMatch = 5 -5",
            ),
            lowest_pt_hat=0.6,
            matched=25,
        ),
        Process(
            "svj",
            "semi-visible jets, CMS-like: Z' to dark quarks, dark mesons of 20 GeV, r_inv 0.3",
            1,
            "label_signal",
            dark=DarkSector(
                n_gauge=2,
                visible={
                    PI_DIAGONAL: _MASS_INSERTION,
                    PI_OFF: _MASS_INSERTION,
                    RHO_DIAGONAL: _LIGHT_QUARKS_B,
                    RHO_OFF: _LIGHT_QUARKS_B,
                },
                r_inv=0.3,
            ),
        ),
        Process(
            "aachen",
            "semi-visible jets, Aachen-like: only the neutral dark rho of 5 GeV is visible (r_inv 0.75)",
            1,
            "label_signal",
            dark=DarkSector(
                mass_pi=4.0,
                mass_rho=5.0,
                mass_quark=0.5,
                scale=5.0,
                probability_vector=0.5,
                visible={RHO_DIAGONAL: _LIGHT_QUARKS},
            ),
        ),
        Process(
            "heidelberg",
            "dark showers, Heidelberg-like: all dark mesons of 5 GeV decay visibly (r_inv 0)",
            1,
            "label_signal",
            dark=DarkSector(
                mass_pi=5.0,
                mass_rho=5.0,
                mass_quark=0.5,
                scale=5.0,
                visible=dict.fromkeys(DARK_MESONS, _LIGHT_QUARKS),
            ),
        ),
    )
}


def find_process(name: str) -> Process:
    """The process of that name.

    Raises:
        ConfigError: for an unknown name, with the nearest one.
    """
    if name not in PROCESSES:
        nearest, *others = closest_first(name, PROCESSES)
        raise ConfigError(
            f"unknown process '{name}'; did you mean '{nearest}'? (others: {', '.join(others)})"
        )
    return PROCESSES[name]


def with_dark_options(
    process: Process,
    *,
    r_inv: float | None = None,
    mass_mediator: float | None = None,
    mass_dark: float | None = None,
) -> Process:
    """The process with another dark sector; ``None`` keeps a value.

    ``mass_dark`` sets both meson masses, the dark quark to half of it, and the confinement scale to
    3.2 (mass_dark / GeV)^0.8 GeV as CMS does (2112.11125).

    Raises:
        ConfigError: if the process has no such parameter or a value is out of range.
    """
    given = {"r_inv": r_inv, "mass_mediator": mass_mediator, "mass_dark": mass_dark}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return process
    if process.name != "svj":
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ConfigError(f"process '{process.name}' has fixed parameters; {options} is for 'svj'")
    assert process.dark is not None
    changes: dict[str, float] = {}
    if r_inv is not None:
        if not 0 <= r_inv < 1:
            raise ConfigError(f"--r-inv is a fraction of at least 0 and below 1, found {r_inv:g}")
        changes["r_inv"] = r_inv
    if mass_mediator is not None:
        if mass_mediator < 100:
            raise ConfigError(f"--mass-mediator is a mass in GeV of at least 100, found {mass_mediator:g}")
        changes["mass_mediator"] = mass_mediator
    if mass_dark is not None:
        # below 11 GeV the b quarks of the dark pion decay do not fit, and with them most of its decays
        if not 11 <= mass_dark <= 200:
            raise ConfigError(f"--mass-dark is a mass of 11 to 200 GeV, found {mass_dark:g}")
        changes |= {
            "mass_pi": mass_dark,
            "mass_rho": mass_dark,
            "mass_quark": mass_dark / 2,
            "scale": 3.2 * mass_dark**0.8,
        }
    return dataclasses.replace(process, dark=dataclasses.replace(process.dark, **changes))  # type: ignore[arg-type]
