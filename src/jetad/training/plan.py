"""A training from names of files to a finished run: what ``jetad train`` and ``jetad.train`` do."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ..errors import ConfigError
from ..files.yamlfiles import read_text
from ..jets import Selection
from ..preprocessing.choosing import choose_features
from ..readers import ReadOptions, check_format, collection_of, count, expand, iterate, read
from ..shown.notebook import TrainingBar, in_notebook

if TYPE_CHECKING:  # torch takes seconds to load: mistakes in names of files are told before
    from ..config import RunConfig
    from ..distributed.process_group import Ranks
    from ..interrupts import StopRequest
    from ..runs import Run
    from .member import Progress

__all__ = ["TrainingPlan", "configure", "plan_training", "train"]

logger = logging.getLogger("jetad.training")

Names = str | Path | Iterable[str | Path]


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """A training whose configuration and files go together.

    Arguments:
        config: All settings.
        background: Files of background.
        signal: Files of signal, for a supervised method.
        monitor: Files of signal to watch, by name.
        select: Cuts, as :class:`~jetad.jets.Selection` takes them.
        max_jets: Jets of background to use, counted after the selection.
        options: How the files are read.
        also_read: Other files that are named: configuration and mapping.
        encoder: Files of the run on whose embedding it trains.
    """

    config: RunConfig
    background: list[Path]
    signal: list[Path]
    monitor: dict[str, Path]
    select: str | None
    max_jets: int | None
    options: ReadOptions
    also_read: list[Path]
    encoder: list[Path]

    @property
    def jet_files(self) -> list[Path]:
        """All files of jets."""
        return [*self.background, *self.signal, *self.monitor.values()]

    @property
    def files(self) -> list[Path]:
        """All that is named."""
        return [*self.jet_files, *self.also_read]

    def check(self, output: Path | None = None, *, force: bool = False) -> None:
        """Read some jets of each file, and see that the run can be written.

        Raises:
            InputError: if a file cannot be read.
            OutputError: if ``output`` must be kept.
        """
        from .run_folder import check_removal, check_run_folder

        for path in self.jet_files:
            read([path], max_jets=10, **self.options)
        if output is not None and not check_run_folder(output, force=force) and output.exists():
            check_removal(output, [*self.files, *self.encoder])

    def described(self, output: Path | None = None) -> list[str]:
        """What the training would do, in lines."""
        from .run_folder import new_run

        n = sum(count(path, **self.options) for path in self.background)
        of = f"{n} jets of {len(self.background)} files (before --select)"
        lines = [f"would train '{self.config.method}' on {of}"]
        if output is None:
            where = new_run(self.config)
            lines.append(f"would write {where} (or go on with an unfinished run of the same command)")
        return lines

    def run(
        self,
        output: Path | None = None,
        *,
        device: str = "auto",
        force: bool = False,
        stop: AbstractContextManager[StopRequest | None] | None = None,
        progress: AbstractContextManager[Progress | None] | None = None,
        ranks: Ranks | None = None,
        allow: Collection[str] = (),
        track: Sequence[str] = (),
        say: Callable[[str], None] = logger.info,
    ) -> Run:
        """Train, or go on with the training that the same call began.

        Arguments:
            output: The run directory; by default a new one in ``runs``.
            device: ``auto``, ``cpu`` or ``cuda``.
            force: Replace a training that ``output`` holds.
            stop: Entered once the jets are read; a signal that it catches stops training after the current
                step with a checkpoint (:func:`jetad.interrupts.stop_signals`).
            progress: Entered when training begins; called with (member, phase, step, n_steps, latest record).
            ranks: The processes that train together; this one alone if ``None``.
            allow: What is refused otherwise (:func:`jetad.checks.allowed.refuse`): ``labels``.
            track: Programs that watch (:data:`jetad.tracking.TRACKERS`).
            say: Called with a line for the user when the training begins.

        Raises:
            InputError: if jets are labelled as the other class.
            OutputError: if ``output`` must be kept, or another process trains there.
            DivergedError, Interrupted, JetadError: as :func:`jetad.training.train.train`.
        """
        from ..distributed.process_group import Ranks
        from ..tracking import check_trackers
        from .data import check_sample
        from .train import prepare_run
        from .train import train as train_jets

        check_trackers(track)
        ranks = ranks or Ranks()
        jets = self._open(self.background)
        signal = self._open(self.signal) if self.signal else None
        for role, sample, paths in (("background", jets, self.background), ("signal", signal, self.signal)):
            if sample is not None:
                ranks.run_on_main(check_sample, sample, ", ".join(map(str, paths[:3])), allow, role=role)
        monitor = {
            name: read([path], select=None if self.select is None else Selection(self.select), **self.options)
            for name, path in self.monitor.items()
            if ranks.first
        }
        with stop or nullcontext() as request:
            run = ranks.run_on_main(
                prepare_run, self.config, self.background, output=output, command=["jetad", *sys.argv[1:]],
                device=device, force=force, reading=self._reading(), signal=self.signal,
                also_read=[*self.files, *self.encoder],
                collection=collection_of(self.background[0], **self.options) if ranks.first else None,
            )  # fmt: skip
            if ranks.first:
                what = f"{len(jets)} jets" if signal is None else f"{len(jets)} + {len(signal)} jets"
                together = f" with {ranks.size} processes" if ranks.size > 1 else ""
                say(f"training '{self.config.method}' on {what} in {run.path}{together}")
            with progress or nullcontext() as shown:
                train_jets(
                    run, jets, signal=signal, monitor=monitor, device=device, stop=request,
                    progress=shown if ranks.first else None, ranks=ranks, labels_checked=True, track=track,
                )  # fmt: skip
        return run

    def _open(self, paths: list[Path]) -> Any:
        from .data import BY_FILE, open_background

        return open_background(
            paths,
            select=self.select,
            max_jets=self.max_jets,
            options=self.options,
            max_in_memory=self.config.data.max_in_memory,
            number_files=self.config.data.classes == BY_FILE,
        )

    def _reading(self) -> dict[str, Any]:
        """How files are read, where that is not the default, as JSON values."""
        values: dict[str, Any] = {**self.options, "select": self.select, "max_jets": self.max_jets}
        if values.get("mapping") is not None:
            from ..readers.columnmap import load_mapping

            values["mapping"] = load_mapping(values["mapping"]).model_dump(mode="json", exclude_none=True)
        return {key: value for key, value in values.items() if value is not None}


def configure(
    *,
    encoder: str | Path | None = None,
    config_file: str | Path | None = None,
    **given: Any,
) -> RunConfig:
    """The configuration of names and files.

    Arguments:
        encoder: The run on whose embedding to train.
        config_file: YAML of settings.
        given: As :func:`jetad.config.resolve_config` takes them.

    Raises:
        ConfigError: for a file that cannot be read, or as ``resolve_config``.
    """
    text = None
    if config_file is not None:
        try:
            text = read_text(config_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"--config {config_file}: cannot be read ({reason})") from error

    from ..config import resolve_config
    from ..runs import describe_encoder

    return resolve_config(
        encoder=None if encoder is None else describe_encoder(encoder),
        text=text, source=str(config_file or "configuration"), **given,
    )  # fmt: skip


def plan_training(
    background: Names,
    *,
    signal: Names = (),
    monitor: Mapping[str, str | Path] | None = None,
    method: str | None = None,
    preset: str | None = None,
    representation: str | None = None,
    encoder: str | Path | None = None,
    config_file: str | Path | None = None,
    settings: Iterable[str] = (),
    seed: int | None = None,
    select: str | None = None,
    max_jets: int | None = None,
    say: Callable[[str], None] = logger.info,
    **options: Unpack[ReadOptions],
) -> TrainingPlan:
    """Find the files of a training and its configuration, and refuse what does not go together.

    Arguments:
        background: Names and patterns of files; one data set.
        signal: The same, for a supervised method alone.
        monitor: Signal to watch in the history, by name; never used.
        method: The detector, see 'jetad methods'.
        preset: Settings by name.
        representation: Train on one alone.
        encoder: The run on whose embedding to train.
        config_file: YAML of settings.
        settings: ``KEY=VALUE`` each.
        seed: Of weights, batches and chains.
        select: Cuts, such as ``jet_pt > 500``.
        max_jets: Jets of background to use, counted after the selection.
        say: Called with a line for the user where features are chosen.
        options: How files are read, as in :func:`jetad.read`.

    Raises:
        InputError: for a file that is missing or of unknown format.
        ConfigError: for settings that are wrong or do not fit the files.
    """
    paths, signal_paths = expand(background), expand(signal) if signal else []
    watched = {name: expand([path])[0] for name, path in (monitor or {}).items()}
    jet_files = [*paths, *signal_paths, *watched.values()]
    for path in jet_files:
        check_format(path, **options)
    settings = list(settings)
    free = preset is None and config_file is None and encoder is None and representation in (None, "features")
    if free and not any(s.startswith(("members", "preprocessing.observables")) for s in settings):
        chosen = _features(paths, options, say)
        if chosen:
            representation = "features"
            settings = [f"preprocessing.observables=[{', '.join(map(repr, chosen))}]", *settings]
    config = configure(
        encoder=encoder, config_file=config_file, method=method, preset=preset,
        representation=representation, settings=settings, seed=seed,
    )  # fmt: skip

    from ..runs import Run
    from .checks import check_charges, check_inputs, check_no_overlap

    check_inputs(config, paths, signal_paths)
    check_no_overlap([*paths, *signal_paths], watched)
    check_charges(jet_files, config, options)
    mapping = options.get("mapping")
    also_read = [Path(file) for file in (mapping, config_file) if isinstance(file, (str, Path))]
    return TrainingPlan(
        config, paths, signal_paths, watched, select, max_jets, options, also_read,
        encoder=[] if encoder is None else Run(encoder).files,
    )  # fmt: skip


def train(
    background: Names,
    *,
    output: str | Path | None = None,
    device: str = "auto",
    force: bool = False,
    progress: Progress | None = None,
    allow: Collection[str] = (),
    track: Sequence[str] = (),
    **given: Any,
) -> Run:
    """Train a detector on files of background jets, as ``jetad train`` does.

    Arguments:
        background: Names and patterns of files; one data set.
        output: The run directory; by default a new one in ``runs``. A stopped training goes on there.
        device: ``auto``, ``cpu`` or ``cuda``.
        force: Replace a training that ``output`` holds.
        progress: Called with (member, phase, step, n_steps, latest record); a bar in a notebook.
        allow: ``labels``, to train on jets that are labelled as signal.
        track: Programs that watch: ``tensorboard``, ``mlflow``, ``wandb``.
        given: Method, settings, cuts and so on, as :func:`plan_training` takes them.

    Returns:
        The run: ``jetad.load(run)`` is its detector.

    Raises:
        JetadError: for files, settings or outputs that are wrong.
    """
    where = None if output is None else Path(output)
    plan = plan_training(background, **given)
    shown: AbstractContextManager[Progress | None] = nullcontext(progress)
    if progress is None and in_notebook():
        shown = TrainingBar()
    return plan.run(where, device=device, force=force, progress=shown, allow=allow, track=track)


def _features(paths: list[Path], options: ReadOptions, say: Callable[[str], None]) -> tuple[str, ...]:
    """What to train on where the jets have neither constituents nor images; nothing for others."""
    firsts = ((path, next(iterate(path, step=1000, **options), None)) for path in paths)
    path, first = next(((p, jets) for p, jets in firsts if jets is not None and len(jets)), (None, None))
    if first is None or first.jet_momenta is None:
        return ()
    chosen = choose_features(first)
    say(
        f"{path}: the jets have no constituents: training on the features {', '.join(chosen)}; "
        f"for others: --representation features --set 'preprocessing.observables=[{','.join(chosen)}]'"
    )
    return chosen
