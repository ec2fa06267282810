"""The training loop on a model of one number, with phases by hand: what it feeds, keeps and undoes."""

from __future__ import annotations

import math
from itertools import chain

import pytest
import torch
from torch import nn

from jetad.config import TrainingConfig
from jetad.distributed.shared_batch import uniform
from jetad.training.loop import Trainer

RATE = 0.1


class Number(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))


class Script:
    """Follows a list of slopes; tells at each validation what a list says; draws a number at each step."""

    max_grad_norm: float | None = None  # of this phase, where a phase has its own
    average = None

    def __init__(self, model: Number, slopes, criteria=(), troubles=(), name: str = "scripted") -> None:
        self.model, self.slopes, self.name = model, list(slopes), name
        self.criteria, self.troubles = list(criteria), list(troubles)
        self.n_steps = len(self.slopes)
        self.position = 0  # all of the state
        self.batches: list[list[float]] = []
        self.drawn: list[float] = []
        self.positions: list[int] = []
        self.validated: list[float] = []  # the number at each validation

    def start(self, x_train, x_val):
        return {}

    def parameters(self):
        return list(self.model.parameters())

    def learning_rate(self, step):
        return RATE

    def loss(self, x, generator):
        self.batches.append(x[:, 0].tolist())
        self.drawn.append(float(uniform((1,), generator, device=x.device)))
        self.positions.append(self.position)
        slope = self.slopes[self.position]
        self.position += 1
        return slope * self.model.w.sum(), {}

    def validate(self, x_val, generator):
        self.validated.append(float(self.model.w.detach()))
        criterion = self.criteria.pop(0) if self.criteria else math.nan
        return criterion, {"val_energy": 1.0}

    def enough(self, metrics):
        return False

    def trouble(self, metrics):
        return self.troubles.pop(0) if self.troubles else None

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def fit(model: Number, phases: list[Script], *, n: int = 12, seed: int = 1, **settings):
    """The lines of the history, and the steps that were gone back to."""
    lines: list[dict] = []
    rewound: list[int] = []
    settings = {"batch_size": 4, "validate_every": 1, "log_every": 1, "max_grad_norm": 1e9} | settings
    for phase in phases:
        phase.max_grad_norm = settings["max_grad_norm"]
    x = torch.arange(float(n))[:, None]
    trainer = Trainer(
        model, phases, x, x, TrainingConfig(**settings), seed=seed, record=lines.append,
        checkpoint=lambda state: None, rewind=rewound.append,
    )  # fmt: skip
    trainer.fit()
    return lines, rewound


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [12, 15])
def test_every_epoch_sees_each_jet_once_in_an_order_of_its_own(n):
    model = Number()
    phases = [Script(model, [0.0] * 9), Script(model, [0.0] * 6)]
    fit(model, phases, n=n)
    epochs = []
    for phase in phases:
        assert {len(batch) for batch in phase.batches} == {4}
        seen = list(chain.from_iterable(phase.batches))
        epochs += [seen[i : i + 12] for i in range(0, len(seen), 12)]
    for epoch in epochs:
        assert len(set(epoch)) == 12  # what does not fill a batch is left out
    assert len({tuple(epoch) for epoch in epochs}) == 5
    again = Script(model, [0.0] * 9)
    fit(model, [again], n=n)
    assert again.batches == phases[0].batches
    other = Script(model, [0.0] * 9)
    fit(model, [other], n=n, seed=2)
    assert other.batches != again.batches


# --- which model is kept -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "kept"),
    [([3, 1, 2, 4], 1), ([1, 2, 3, 4], 0), ([4, 3, 2, 1], 3), ([2, math.nan, 1, 3], 2), ([math.nan] * 4, 3)],
)
def test_model_with_the_lowest_criterion_is_kept(criteria, kept):
    model = Number()
    phase = Script(model, [1.0, 1.0, 1.0, 1.0], criteria)
    fit(model, [phase])
    assert len(set(phase.validated)) == 4
    assert float(model.w.detach()) == phase.validated[kept]


def test_next_phase_begins_with_the_model_kept_and_chooses_anew():
    model = Number()
    first = Script(model, [1.0] * 3, [2, 1, 3])
    second = Script(model, [1.0] * 2, [9, 8])
    fit(model, [first, second])
    assert second.validated[0] == pytest.approx(first.validated[1] - RATE)
    assert float(model.w.detach()) == second.validated[1]


def test_last_step_is_always_validated():
    model = Number()
    phase = Script(model, [1.0] * 5)
    lines, _ = fit(model, [phase], validate_every=2, log_every=100)
    assert [line["phase_step"] for line in lines] == [2, 4, 5]
    assert len(phase.validated) == 3


# --- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slope", "length"), [(1000.0, 0.5), (-1000.0, -0.5), (0.2, 0.2)])
def test_long_gradients_are_shortened_and_short_ones_left(slope, length):
    model = Number()
    fit(model, [Script(model, [slope])], max_grad_norm=0.5)
    assert float(model.w.grad) == pytest.approx(length, rel=1e-5)


def test_clipped_gradients_are_what_moves_the_model():
    """Adam: an outlier of a thousand would dwarf all later steps; clipped to one it is a step like others."""
    model = Number()
    fit(model, [Script(model, [1000.0, 1.0, 1.0, 1.0])], max_grad_norm=1.0)
    assert float(model.w.detach()) == pytest.approx(-4 * RATE, rel=1e-5)


# --- going back ----------------------------------------------------------------------------------


def test_everything_returns_to_the_last_good_validation_but_the_rate():
    model = Number()
    # three good steps; two that end in trouble; from there again
    phase = Script(model, [1.0, 1.0, 1.0, 1e6, 1.0, 1.0], troubles=[None, "made up"])
    lines, rewound = fit(model, [phase], validate_every=3)
    assert rewound == [3]
    assert phase.positions == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert phase.drawn[6:] == phase.drawn[3:6]
    assert phase.batches[6:] == phase.batches[3:6]
    assert phase.drawn[:3] != phase.drawn[3:6]
    rates = [line["learning_rate"] for line in lines if "learning_rate" in line]
    assert rates == [RATE] * 5 + [RATE / 2] * 3
    assert [line["step"] for line in lines if "learning_rate" in line] == [1, 2, 3, 4, 5, 4, 5, 6]


def test_model_and_optimiser_return_to_the_last_good_validation():
    """With the moments of Adam at their start the first step is the rate, whatever the slope."""
    model = Number()
    phase = Script(model, [5.0, 1e6, 1.0], troubles=["made up", None, None])
    fit(model, [phase])
    assert phase.validated[0] == pytest.approx(-RATE)
    assert phase.validated[1] == pytest.approx(-RATE / 2)
    other = Number()
    same = Script(other, [5.0, 1e6, 1.0])
    fit(other, [same])
    assert phase.validated[-1] == pytest.approx(same.validated[-1] / 2)


def test_good_state_is_the_one_of_its_validation():
    """Two good validations, two steps, trouble: back to the second of them, as it was."""
    model = Number()
    phase = Script(model, [1.0] * 6, troubles=[None, None, "made up"])
    _, rewound = fit(model, [phase], validate_every=2)
    assert rewound == [4]
    want = -4 * RATE - 2 * RATE / 2
    assert float(model.w.detach()) == pytest.approx(want, rel=1e-6)


def test_next_phase_has_its_full_rate_and_retries():
    model = Number()
    phases = [Script(model, [1.0] * 2, troubles=["made up"] * 2) for _ in range(2)]
    lines, _ = fit(model, phases, retries=2)
    rates = [line["learning_rate"] for line in lines if "learning_rate" in line]
    assert rates == [RATE / 4] * 4
