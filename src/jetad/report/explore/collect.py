"""What the interactive page shows of each jet: numbers, constituents, pictures, where its score is from."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from ...detector import Member, TrainedDetector
from ...detector.reconstructions import reconstruct
from ...errors import InputError, of_file
from ...jets import Jets, Selection
from ...preprocessing.features import JetFeatures, observable
from ...preprocessing.images import ImageConfig, JetImages, align
from ...readers import ReadOptions, read
from ...runs import Run

__all__ = ["LEVELS", "Explored", "Pictures", "collect_explored"]

logger = logging.getLogger("jetad.report")

#: Steps of the colour scale of pictures: as many as an eye tells apart, and small in a file.
LEVELS = 16
_DECADES = 3.0  # that the scale of an image covers
_MOST_COLUMNS = 40  # columns of the file to choose from
_MOST_CONSTITUENTS = 100  # of a jet, the hardest
_BATCH = 256  # jets whose gradients are computed at once


class Pictures(NamedTuple):
    """One picture of each jet in a few levels, ``(n_jets, n_eta, n_phi)`` uint8 below ``LEVELS``.

    A signed one has zero at ``LEVELS // 2``.
    """

    title: str
    levels: NDArray[np.uint8]
    signed: bool


class Explored(NamedTuple):
    """What the page is made of, jet by jet.

    Arguments:
        title: Of the page.
        classes: Names of the kinds of jets; the first is the background.
        kind: Class of each jet, ``(n_jets,)``.
        files: Names of the files.
        file: File of each jet, ``(n_jets,)``.
        entry: Entry of each jet in it, ``(n_jets,)``.
        columns: Numbers of the jets by name, each ``(n_jets,)`` float32, the score first.
        features: Names of those columns that a detector looks at.
        members: For each representation, columns of its energy and of its surprise (empty with one alone).
        offsets: Where the constituents of each jet begin and end, ``(n_jets + 1,)``; all 0 without any.
        constituents: eta', phi' in the frame of the image, and pT [GeV], ``(n_total, 3)`` float32.
        pictures: Of the jets, if they have any.
        extent: Range of eta' and phi' of the pictures: eta' low, eta' high, phi' low, phi' high.
        notes: What a reader should know, in sentences.
    """

    title: str
    classes: list[str]
    kind: NDArray[np.uint8]
    files: list[str]
    file: NDArray[np.uint8]
    entry: NDArray[np.int64]
    columns: dict[str, NDArray[np.float32]]
    features: list[str]
    members: dict[str, tuple[str, str]]
    offsets: NDArray[np.int64]
    constituents: NDArray[np.float32]
    pictures: list[Pictures]
    extent: tuple[float, float, float, float]
    notes: list[str]


class _Sample(NamedTuple):
    name: str
    path: Path
    jets: Jets


def collect_explored(
    run: Run,
    files: Mapping[str, Sequence[Path]],
    *,
    max_jets: int = 5000,
    select: str | None = None,
    allow: Collection[str] = (),
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
    **options: Unpack[ReadOptions],
) -> Explored:
    """Read and score the first jets of each file.

    Arguments:
        run: A finished run.
        files: Files of jets by the name of their class. Jets of a file with both truths are two classes.
        max_jets: Jets on the page, the same number of each file.
        select: Cuts, such as ``jet_pt > 500``.
        allow: What is refused otherwise (:func:`jetad.checks.allowed.refuse`): ``range``.
        device: Where to score.
        say: Called with a line of progress.
        options: How files are read, as in :func:`jetad.read`.

    Raises:
        InputError: for a file or run that cannot be read, or if no jet has a score.
    """
    detector = TrainedDetector.from_run(run, device)
    paths = [(name, path) for name, found in files.items() for path in found]
    share = max(1, max_jets // len(paths))
    notes: list[str] = []
    samples = []
    for name, path in paths:
        say(f"reading {path}")
        jets = read([path], max_jets=share, select=None if select is None else Selection(select), **options)
        detector.training.check(jets, path, allow)
        notes += [f"{path.name}: {sentence}" for sentence in detector.training.remarks(jets)]
        if len(jets) == share:
            notes.append(f"{path.name}: only the first {share} jets are shown")
        samples.append(_Sample(name, path, jets))
    say("scoring")
    jets, columns = _numbers(detector, samples)
    scored = np.isfinite(columns["score"])
    if not scored.any():
        raise InputError(f"{paths[0][1]}: no jet could be scored, there is nothing to show")
    if not scored.all():
        notes.append(f"{int((~scored).sum())} of {len(scored)} jets could not be scored and are left out")
    classes, kind = _classes(samples)
    file = np.repeat(np.arange(len(samples)), [len(s.jets) for s in samples])
    jets = jets[scored]
    columns = {name: values[scored] for name, values in columns.items()}
    say("drawing")
    pictures, extent = _pictures(detector, jets)
    offsets, constituents = _constituents(jets)
    features = [
        name for m in detector.members if isinstance(m.preprocessor, JetFeatures)
        for name in m.preprocessor.config.observables if name in columns
    ]  # fmt: skip
    for note in notes:
        logger.warning("warning: %s", note)
    return Explored(
        title=f"{run.path.resolve().name}: {run.config().method}",
        classes=classes,
        kind=kind[scored],
        files=_short([s.path for s in samples]),
        file=file[scored].astype(np.uint8),
        entry=jets.entry,
        columns=columns,
        features=list(dict.fromkeys(features)),
        members={
            m.name: (f"energy of {m.name}", f"surprise of {m.name}" if len(detector.members) > 1 else "")
            for m in detector.members
        },
        offsets=offsets,
        constituents=constituents,
        pictures=pictures,
        extent=extent,
        notes=notes,
    )


def _short(paths: Sequence[Path]) -> list[str]:
    """Names of files, with the folder where two would be the same: a page that is mailed tells no more."""
    names = [path.name for path in paths]
    return [n if names.count(n) == 1 else str(p) for n, p in zip(names, paths, strict=True)]


def _classes(samples: Sequence[_Sample]) -> tuple[list[str], NDArray[np.uint8]]:
    """Names of the classes, background first, and the class of each jet."""
    truth = [np.full(len(s.jets), -1) if s.jets.labels is None else s.jets.labels for s in samples]
    known: dict[str, set[int]] = {}
    for sample, labels in zip(samples, truth, strict=True):
        known.setdefault(sample.name, set()).update(np.unique(labels).tolist())
    found = []  # name, and whether it is background, of each jet
    for sample, labels in zip(samples, truth, strict=True):
        mixed = {0, 1} <= known[sample.name]
        for label in labels.tolist():
            name = sample.name + {0: " (background)", 1: " (signal)"}.get(label, "") * mixed
            found.append((name, label == 0 if mixed else known[sample.name] == {0}))
    classes = sorted(dict.fromkeys(found), key=lambda one: not one[1])
    number = {one: i for i, one in enumerate(classes)}
    return [name for name, _ in classes], np.array([number[one] for one in found], dtype=np.uint8)


def _numbers(
    detector: TrainedDetector, samples: Sequence[_Sample]
) -> tuple[Jets, dict[str, NDArray[np.float32]]]:
    """All jets, and their numbers by name: the score first, what the file says last."""
    tables: list[dict[str, NDArray[Any]]] = []
    for sample in samples:
        jets = sample.jets
        with of_file(sample.path):
            scores = detector.evaluate(jets)
            energies = detector.energies(jets)
        table: dict[str, NDArray[Any]] = {
            "score": scores.score,
            "background_efficiency": scores.background_efficiency,
            **scores.extra,
            **{f"jet_{name}": getattr(jets, f"jet_{name}") for name in ("mass", "pt", "eta", "phi")},
        }
        if jets.has_constituents:
            table["n_constituents"] = jets.n_constituents
        for member in detector.members:
            table[f"energy of {member.name}"] = energies[member.name]
            if len(detector.members) > 1 and member.surprise is not None:
                table[f"surprise of {member.name}"] = member.surprise(energies[member.name])
            table |= _features(member, jets)
        columns = {k: v for k, v in jets.observables.items() if np.asarray(v).dtype.kind in "biuf"}
        table |= {k: v for k, v in list(columns.items())[:_MOST_COLUMNS] if k not in table}
        tables.append(table)
    common = [name for name in tables[0] if all(name in table for table in tables)]
    values = {
        name: np.concatenate([np.asarray(table[name], dtype=np.float32) for table in tables])
        for name in common
    }
    kept = {name: v for name, v in values.items() if np.isfinite(v).any()}
    bare = [_bare(sample.jets) for sample in samples]
    return Jets.concatenate(bare), {"score": values["score"], **kept}


def _bare(jets: Jets) -> Jets:
    """Jets without what files may not have in common."""
    return dataclasses.replace(jets, observables={}, labels=None, weights=None)


def _features(member: Member, jets: Jets) -> dict[str, NDArray[Any]]:
    """What a detector of features looks at."""
    if not isinstance(member.preprocessor, JetFeatures):
        return {}
    names = member.preprocessor.config.observables
    return dict(zip(names, observable(jets, names).T, strict=True))


# --- pictures --------------------------------------------------------------------------------------


def _imager(detector: TrainedDetector) -> tuple[Member | None, JetImages]:
    """The first detector of images; without one, images as jetad makes them."""
    for member in detector.members:
        if isinstance(member.preprocessor, JetImages):
            return member, member.preprocessor
    return None, JetImages(ImageConfig())


def _pictures(
    detector: TrainedDetector, jets: Jets
) -> tuple[list[Pictures], tuple[float, float, float, float]]:
    """Image, reconstruction and what the energy comes from, of the first channel."""
    member, imager = _imager(detector)
    c = imager.config
    half = c.n_eta * c.pixel_eta / 2, c.n_phi * c.pixel_phi / 2
    extent = (-half[0], half[0], -half[1], half[1])
    if jets.images is None and not jets.has_constituents:
        return [], extent
    channel = c.channels[0]
    of = "" if len(c.channels) == 1 else f" ({channel})"
    if member is None:
        return [Pictures("image", _levels(imager.transform(jets)[:, 0]), False)], extent
    images, shares = [], []
    for start in range(0, len(jets), _BATCH):
        rows, share = _shares(member, imager.transform(jets[start : start + _BATCH]), detector.device)
        images.append(rows[:, 0])
        shares.append(share)
    found = [Pictures(f"image{of}", _levels(np.concatenate(images)), False)]
    pair = reconstruct(detector, jets)
    if pair is not None and len(c.channels) == 1:
        found = [
            Pictures("image", _levels(pair.inputs[:, 0]), False),
            Pictures("reconstruction", _levels(pair.outputs[:, 0], top=pair.inputs[:, 0]), False),
        ]
    if all(share is not None for share in shares):
        signed = _signed(np.concatenate([share[:, 0] for share in shares if share is not None]))
        found.append(Pictures(f"pixels that raise the energy{of}", signed, True))
    return found, extent


def _shares(
    member: Member, rows: NDArray[np.float32], device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Rows and, to first order, by how much the energy falls where a pixel is taken away: x dE/dx.

    ``None`` for an energy without a gradient.
    """
    x = torch.from_numpy(rows).to(device).requires_grad_()
    with torch.enable_grad():
        try:
            energy = member.model.energy(member.model.prepare(x))
        except RuntimeError:  # of a forest, say
            return rows, None
        if not energy.requires_grad:
            return rows, None
        (gradient,) = torch.autograd.grad(energy.sum(), x, allow_unused=True)
    if gradient is None:
        return rows, None
    return rows, (x * gradient).detach().cpu().numpy()


def _levels(images: NDArray[Any], *, top: NDArray[Any] | None = None) -> NDArray[np.uint8]:
    """Images on a logarithmic scale of ``LEVELS`` steps below the largest pixel of each (or of ``top``)."""
    largest = np.nanmax(images if top is None else top, axis=(1, 2), initial=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = 1 + np.log10(np.maximum(images, 0) / np.where(largest > 0, largest, np.nan)) / _DECADES
    steps = np.ceil(np.nan_to_num(place, nan=0.0, posinf=0.0, neginf=0.0) * (LEVELS - 1))
    levels: NDArray[np.uint8] = np.clip(steps, 0, LEVELS - 1).astype(np.uint8)
    return levels


def _signed(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values on a linear scale from minus to plus the largest of each jet."""
    largest = np.nanmax(np.abs(values), axis=(1, 2), initial=0, keepdims=True)
    middle = LEVELS // 2
    with np.errstate(invalid="ignore"):
        steps = np.rint(values / np.where(largest > 0, largest, 1) * (middle - 1)) + middle
    levels: NDArray[np.uint8] = np.nan_to_num(steps, nan=middle).astype(np.uint8)
    return levels


def _constituents(jets: Jets) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The hardest constituents in the frame of the image, hardest first, and where each jet begins."""
    if not jets.has_constituents:
        return np.zeros(len(jets) + 1, dtype=np.int64), np.zeros((0, 3), dtype=np.float32)
    eta, phi, _ = align(jets)
    order = np.lexsort((-jets.pt, jets.jet_index))
    rank = np.arange(len(order)) - jets.offsets[jets.jet_index]
    order = order[(rank < _MOST_CONSTITUENTS) & (jets.pt[order] > 0)]
    counts = np.bincount(jets.jet_index[order], minlength=len(jets))
    values = np.stack([eta[order], phi[order], jets.pt[order]], axis=1)
    return np.concatenate([[0], np.cumsum(counts)]), values.astype(np.float32)
