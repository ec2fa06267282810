"""jetad explore: one interactive page on which one looks at single jets."""

from __future__ import annotations

import click

from jetad.errors import ConfigError

from ..options import Inputs, allow_option, device_option, force_option, input_options
from ..overwriting import keep_inputs
from ..terminal import echo, tell
from .cmd_report import named_inputs

__all__ = ["command"]

_USUAL, _MOST = 5000, 20_000  # jets on a page
_LARGE = 15  # MB


@click.command("explore")
@click.argument("run_dir", metavar="RUN")
@click.argument("files", metavar="[NAME=]FILE...", nargs=-1, required=True)
@click.option("--output", "-o", default="explore.html", show_default=True, help="The page.")
@input_options
@allow_option("range")
@device_option
@force_option
def command(
    run_dir: str,
    files: tuple[str, ...],
    output: str,
    inputs: Inputs,
    allow: tuple[str, ...],
    device: str,
    force: bool,
) -> None:
    """Write one interactive page: drag over points to select jets, click to see one.

    It shows the score against any variable, the histogram and the ROC curve of the selected jets, and of a
    single jet its constituents, its image, the reconstruction where the method has one, its numbers, and
    where its score comes from. Nothing is loaded from elsewhere; everything works with the keyboard, too.
    The page has the first jets of each file, the same number of each, 5000 in all or --max-jets.

    \b
    jetad explore runs/latest qcd_test.h5 top.h5 -o page.html
    jetad explore jetad-demo/nae qcd=qcd_test.h5 signal=top.h5 --max-jets 2000
    """
    from jetad.extras import needing
    from jetad.files import check_output
    from jetad.runs import Run

    run = Run.open(run_dir)
    keep_inputs([output], files, inputs.files, run)
    check_output(output, force=force)
    n = _USUAL if inputs.max_jets is None else inputs.max_jets
    if n > _MOST:
        raise ConfigError(f"--max-jets {n}: a browser is slow with so many; give at most {_MOST}")
    named = named_inputs(files)
    with needing("explore", "the page is drawn by plotly"):
        import plotly  # noqa: F401

    import torch

    from jetad.report.explore import collect_explored, write_explored

    torch.set_num_threads(1)
    found = collect_explored(
        run, named, max_jets=n, select=inputs.select, allow=allow, device=device,
        say=tell, **inputs.options,
    )  # fmt: skip
    path = write_explored(found, output, force=force)
    size = path.stat().st_size / 1e6
    if size > _LARGE:
        tell(f"the page has {size:.0f} MB; --max-jets makes it smaller")
    echo(output)
