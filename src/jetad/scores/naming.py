"""Which score file belongs to which file of jets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError, OutputError
from ..files import refuse_url
from ..readers.paths import plain_name

__all__ = ["score_outputs"]

_SUFFIXES = (".root", ".h5", ".hdf5", ".parquet", ".csv")


def score_outputs(
    inputs: Sequence[Path],
    output: Path | None = None,
    share: tuple[int, int] = (0, 1),
    *,
    make_folder: bool = True,
) -> dict[Path, Path]:
    """One score file per input: in the current folder, of the kind of the input, unless ``output`` says else.

    Arguments:
        inputs: Files of jets.
        output: The score file of a single input, or a folder.
        share: ``(k, n)``: the k-th of n shares, from 0, has a name of its own.
        make_folder: Make the folder if it is missing.

    Raises:
        ConfigError: for one file for several inputs, an unknown kind, or one name for two.
        OutputError: if the folder cannot be made.
    """
    if output is not None and output.suffix and not output.is_dir():
        if output.suffix not in _SUFFIXES:
            raise ConfigError(
                f"-o {output}: unknown kind '{output.suffix}'; choose one of {', '.join(_SUFFIXES)}"
            )
        if len(inputs) > 1:
            raise ConfigError(f"-o {output}: is one file for {len(inputs)} inputs; give a folder")
        return {inputs[0]: output}
    part = "" if share == (0, 1) else f".part-{share[0] + 1}-of-{share[1]}"
    outputs = {}
    for path in inputs:
        plain = plain_name(path)
        suffix = plain.suffix if plain.suffix in (".root", ".h5") else ".h5"
        outputs[path] = (output or Path()) / f"{plain.stem}.scores{part}{suffix}"
    if len(set(outputs.values())) < len(outputs):
        raise ConfigError(
            "two inputs of the same name would get the same score file; score them into different folders"
        )
    if make_folder and output is not None:
        refuse_url(output)
        try:
            output.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise OutputError(f"{output}: is no folder; give a folder, or a file ending in .h5") from error
        except OSError as error:
            raise OutputError(f"{output}: cannot be created ({error.strerror or error})") from error
    return outputs
