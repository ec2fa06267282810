"""jetad demo: the whole job on the shipped samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import device_option, seed_option
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.evaluation import Evaluation

__all__ = ["command", "side_by_side"]


@click.command()
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("jetad-demo"), show_default=True,
    help="Folder for runs, scores and figures.",
)  # fmt: skip
@seed_option
@device_option
def command(output: Path, seed: int, device: str) -> None:
    """Train on QCD jets, score QCD, top and dark-shower jets, draw ROC curves, print the table.

    Everything is done on the samples that ship with jetad, with the default detector (a Gaussian
    mixture) and, beside it, nearest neighbours, the normalized autoencoder and the plain one on the same
    inputs. About 3 minutes on two CPU cores.
    """
    import torch

    from jetad.demo import run_demo

    from ..progress import TrainingProgress
    from ..roc_tables import table

    torch.set_num_threads(1)  # the networks are small: a second thread costs more than it brings
    with TrainingProgress() as progress:
        result = run_demo(output, seed=seed, device=device, say=tell, progress=progress)
    default, evaluation = next(iter(result.evaluations.items()))
    echo(f"QCD against signal, '{default}' (the default) trained on QCD:")
    echo(table(evaluation))
    echo()
    echo("AUC against QCD side by side:")
    echo(side_by_side(result.evaluations))
    echo()
    echo(f"'{default}' on the ROOT samples:")
    echo(table(result.root))
    echo()
    echo(f"figures: {output}/roc.pdf, images.pdf, negatives.pdf, history.pdf (and .png)")
    echo(f"next: jetad score YOUR_FILE --run {output}/{default}")


def side_by_side(evaluations: Mapping[str, Evaluation]) -> str:
    """AUC and its error of every signal, one column per method."""
    lines = [f"{'signal':<12}" + "".join(f"{name:>16}" for name in evaluations)]
    for signal in next(iter(evaluations.values())).signals:
        curves = [evaluation.signals[signal].curve for evaluation in evaluations.values()]
        lines.append(f"{signal:<12}" + "".join(f"{c.auc:>8.3f} ± {c.auc_error:.3f}" for c in curves))
    return "\n".join(lines)
