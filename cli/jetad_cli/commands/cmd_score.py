"""jetad score: files of jets in, score files out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jetad.errors import ConfigError, JetadError

from ..options import Inputs, device_option, force_option, input_options, json_option

__all__ = ["command"]

_SUFFIXES = (".root", ".h5", ".hdf5", ".parquet", ".csv")


def _outputs(inputs: list[Path], output: Path | None) -> dict[Path, Path]:
    """One score file per input: beside the user, the kind of the input, unless -o says otherwise."""

    from jetad.readers.base import split_path

    def name(path: Path) -> str:
        plain = split_path(path)[0]
        suffix = plain.suffix if plain.suffix in (".root", ".h5") else ".h5"
        return f"{plain.stem}.scores{suffix}"

    if output is not None and output.suffix in _SUFFIXES and not output.is_dir():
        if len(inputs) > 1:
            raise ConfigError(f"-o {output}: is one file for {len(inputs)} inputs; give a folder")
        return {inputs[0]: output}
    folder = Path() if output is None else output
    if output is not None:
        if output.suffix and not output.is_dir():
            raise ConfigError(
                f"-o {output}: unknown kind '{output.suffix}'; choose one of {', '.join(_SUFFIXES)}"
            )
        folder.mkdir(parents=True, exist_ok=True)
    outputs = {path: folder / name(path) for path in inputs}
    if len(set(outputs.values())) < len(outputs):
        raise ConfigError(
            "two inputs of the same name would get the same score file; score them into different folders"
        )
    return outputs


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Score file, or folder for several.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="Column of the input to carry along; repeatable."
)
@input_options
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@device_option
@force_option
@json_option("Print the account of all files as JSON.")
def command(
    files: tuple[str, ...],
    run_dir: Path | None,
    output: Path | None,
    keep: tuple[str, ...],
    inputs: Inputs,
    threads: int,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Score every jet of every file; higher is more anomalous.

    signal.root gives signal.scores.root in the current folder. Jets that cannot be scored keep their
    row with score = NaN and are counted.

    \b
    jetad score signal.root
    jetad score *.h5 --run runs/latest -o scores/
    """
    from jetad.files import check_output
    from jetad.readers import expand
    from jetad.run import find_run

    run = find_run(run_dir)
    outputs = _outputs(expand(files), output)
    for path in outputs.values():
        check_output(path, force=force)
    if run_dir is None:
        click.echo(f"using {run.path}", err=True)

    import torch

    from jetad.scoring import score_file

    from ..progress import ScoringProgress

    torch.set_num_threads(threads)
    detector = run.detector(device)
    summaries, failures = [], []
    for source, target in outputs.items():
        try:
            with ScoringProgress(str(source)) as progress:
                summary = score_file(
                    detector, source, target, force=force, keep=keep, select=inputs.selection(),
                    max_jets=inputs.max_jets, progress=progress, **inputs.options,
                )  # fmt: skip
        except JetadError as error:
            if len(outputs) == 1:
                raise
            failures.append(str(error))
            click.echo(f"jetad: error: {error}", err=True)
            continue
        summaries.append(summary)
    if as_json:
        click.echo(
            json.dumps({"run": str(run.path), "files": [s._asdict() for s in summaries], "errors": failures})
        )
    else:
        for s in summaries:
            lost = f", {s.selected_out} selected out" if s.selected_out else ""
            lost += f", {s.failed} failed" if s.failed else ""
            click.echo(f"{s.output}: {s.scored} of {s.read} jets scored{lost}")
    if failures:
        raise JetadError(f"{len(failures)} of {len(outputs)} files could not be scored")
