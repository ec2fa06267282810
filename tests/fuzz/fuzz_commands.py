"""Commands of random options, damaged files and odd environments, all in one process; a program with figures.

``python tests/fuzz/fuzz_commands.py --n 10000 --seed 1`` runs ten thousand commands, ``--kind files`` damages
as many files and reads them; ``--seconds 600`` ends a run after ten minutes, with the figures of what ran. A case is
known by its seed alone: ``--only 4711`` repeats it and shows all of it.

Every command must end in time with 0, or with 1 or 2 and one plain sentence; 85 where a signal stopped it.
Anything else is counted by kind, and any such count but zero ends the program with 1:

- ``unexpected``: an error that nobody foresaw ("unexpected ..."), or a traceback;
- ``hang``: not done after 30 s of processor time, or hardly any of it used in 120 s on the clock;
- ``silent``: failed, and said nothing;
- ``code``: another exit code;
- ``warning``: a warning of a library, with the path of its source, on the terminal;
- ``leftover``: half-written files or folders stay;
- ``secret``: a password of a URL was printed or written;
- ``control``: a control character reached standard error;
- ``long``: the sentence is longer than 2000 characters.
"""

# ruff: noqa: E501

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import io
import itertools
import json
import math
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
for folder in (HERE.parents[1] / "src", HERE.parents[1] / "cli", HERE.parent, HERE.parent / "readers"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from reader_fuzzing import damage  # noqa: E402

LIMIT_S = 30
MEMORY = 12 << 30

Rng = np.random.Generator
QUICK = [
    "--set", "training.epochs=1", "--set", "training.contrastive.steps=3", "--set", "network.hidden=[8]",
    "--set", "members.image.network.components=4", "--set", "training.batch_size=32",
]  # fmt: skip


class Hang(BaseException):
    """A command took too long."""


# --- values ------------------------------------------------------------------------------------------------

NUMBERS = (
    "0", "1", "2", "3", "-1", "0.5", "1e-3", "nan", "inf", "-inf", "1e300", "1e-320", "18446744073709551616",
    "9223372036854775808", "4294967296", "9" * 4000, "", " ", "1_000", "٣", "0x10", "true", "[1, 2]", "null", "1/2",
)  # fmt: skip
SECRET = "sesame-4711"
NAMES = (
    "new", "new.h5", "new.root", "new.csv", "new.parquet", "new.pdf", "new.json", "new.onnx", "sub/new.h5", "sub",
    "a b", "it's", '"', "$x$", "$", "$(touch PWN)", "`touch PWN`", "a\nb", "\x1b[31mred", "é.h5", "日本.root",
    "\udcff.h5", "\udce9", "x" * 300, "x" * 300 + ".h5", "a{b}_c$", r"\frac{", "^", "_", "%s", "{0}", "../up.h5", "-x",
    "@names.txt", "@", "@gone.txt", "@/dev/zero", "NAME=", "=x", "a=b=c", "*", "*.h5", "[", "?", ".", "..", "/",
    "/dev/null", "/dev/full", "/dev/zero", "~nobody/x", "/proc/self/mem", "/proc/new.h5", "pipe", "dangling", "circle",
    "folder", "folder/", "qcd.h5", "run", "run/config.yaml", "", " ", "gone.h5", "gone.root:tree", "top.root:gone",
    "top.root:tree", "qcd.h5:table", f"http://user:{SECRET}@127.0.0.1:9/x.root", f"root://user:{SECRET}@127.0.0.1:9//x.root",
    f"https://127.0.0.1:9/x.h5?token={SECRET}", "http://", "http://[", "s3://x/y.h5", "file:///etc/passwd", "C:\\x.h5",
)  # fmt: skip
JETS = ("qcd.h5", "top.root", "qcd.h5", "top.root", "odd.h5", "landscape.h5", "images.npz", "list", "many.h5")
SCORES = ("qcd.scores.h5", "top.scores.root", "csv.scores.csv", "qcd.scores.h5", "parquet.scores.parquet")
RUNS = ("run", "run", "run", "half", "images", "plain")
SELECTIONS = (
    "jet_pt > 10", "abs(jet_eta) < 2 & jet_pt > 1", "abs > 1", "min", "9" * 4000, "9" * 4000 + " > 1",
    f"jet_pt > {'9' * 400}", "jet_pt >", "jet_pt > 1e309", "min(jet_pt)", "min(jet_pt, 1, 2)", "jet_pt[0] > 1",
    "__import__('os')", "(" * 300, "jet_pt ** jet_pt ** jet_pt > 0", "True", "1", "nan", "'x'", "label == 'x'",
    "jet_pt > 0 & abs", "not", "not jet_pt", "- jet_pt", "jet_pt // 0 > 1", "jet_pt % 0 > 1", "1 / 0", "gone > 1",
    "x" * 3000, "jet_pt > 1j", "1 < jet_pt < 5", "jet_pt == jet_pt == jet_pt", "\x1b[31m", "a\nb", "\udcff > 1", "",
    "entry > 5", "weight > 0", "position == 0", "n_constituents", "~jet_pt", "-True > jet_pt", "sqrt(-1) > 0",
    "jet_pt > 0 and not (abs(jet_eta) > 1 or jet_mass)", "lambda: 1", "0x10 > jet_pt", "1_0 < jet_pt", "jet_pt > 1e400",
    "max(jet_pt, jet_eta) > log(0)", "isfinite(jet_pt)", "label", "(jet_pt > 1) + 1", "(jet_pt > 1) - (jet_pt > 2)",
    "abs(jet_pt > 1) > 0", "-(jet_pt > 1) < 0", "sin(jet_pt > 1) > 0", "(jet_pt > 1) ** 2 > 0", "++--jet_pt > 0",
)  # fmt: skip


def pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def mostly(rng: Rng, good: Any, bad: Any, share: float = 0.8) -> str:
    return str(pick(rng, good if rng.random() < share else bad))


# --- commands ----------------------------------------------------------------------------------------------

Words = list[str]
Values = Callable[[Rng], str]


def _one_of(*good: str, share: float = 0.7, bad: Any = NAMES) -> Values:
    return lambda rng: mostly(rng, good, bad, share)


number = _one_of("0.5", "1", "2", "0.1", share=0.3, bad=NUMBERS)
small = _one_of("1", "2", "3", share=0.6, bad=NUMBERS[:11] + NUMBERS[15:])
big = _one_of("1", "5", "1000", "18446744073709551615", "18446744073709551616", share=0.7, bad=NUMBERS)
out = _one_of("new.h5", "new.root", "new.csv", "new.parquet", "new", share=0.4)
text = _one_of("text", share=0.2)
fraction = _one_of("0.1", "0.5", share=0.4, bad=NUMBERS)

READING: dict[str, Values | None] = {
    "--reader": _one_of("mapping", "jetclass", "top-landscape", "images", share=0.6),
    "--collection": text,
    "--reader-option": _one_of("external=true", "use_puppi=no", "max_constituents=2", "a", "=", share=0.7),
    "--mapping": _one_of("map.yaml", "conf.yaml", share=0.7),
    "--units": _one_of("GeV", "MeV", share=0.9),
}
INPUT: dict[str, Values | None] = {
    **READING,
    "--select": lambda rng: str(pick(rng, SELECTIONS)),
    "--max-jets": _one_of("1", "7", "150", share=0.6, bad=NUMBERS),
}
FORCE: dict[str, Values | None] = {"--force": None}
LABEL: dict[str, Values | None] = {
    "--experiment": _one_of("CMS", "ATLAS", "none", share=0.9),
    "--label": text, "--com": number, "--lumi": number,
}  # fmt: skip
DEVICE: dict[str, Values | None] = {"--device": _one_of("cpu", "auto", "cuda", share=0.95)}
RUN: dict[str, Values | None] = {"--run": _one_of(*RUNS)}


def setting(rng: Rng) -> str:
    """``KEY=VALUE`` of a training; what only makes it long takes small values."""
    key = str(pick(rng, _settings()))
    long = re.search(
        r"epochs|steps|n_|trees|neighbours|retries|hidden|components|every|chains|depth|max_in", key
    )
    values = (
        ("0", "1", "2", "-1", "nan", "x", "[4]", "[]", "{}", "null", "1.5") if long else (*NUMBERS, *NAMES)
    )
    word = f"{key}={pick(rng, values)}"
    return word if rng.random() < 0.95 else str(pick(rng, NAMES))


_known: list[str] = []


def _settings() -> list[str]:
    if not _known:
        from jetad.config.messages import setting_paths

        paths = setting_paths()
        _known.extend(paths)
        _known.extend(f"members.image.{p}" for p in paths if p.startswith(("training", "network", "preproc")))
        _known.extend(
            ["model.x", "members", "members.image", "training", "network.kind", "members.x.network.kind"]
        )
    return _known


TRAINING: dict[str, Values | None] = {
    "--set": setting,
    "--config": _one_of("conf.yaml", "run/config.yaml", "map.yaml", share=0.8),
    "--method": _one_of("ae", "nae", "gmm", "knn", "mass", "pca", "vae", "classifier", share=0.9),
    "--preset": _one_of("nae", "wnae-published", "heidelberg", share=0.7),
    "--representation": _one_of("image", "features", "constituents", "embedding", share=0.8),
    "--seed": big,
    "--encoder": _one_of(*RUNS),
}


class Command(NamedTuple):
    """How a command is made: fixed words, words that it needs, options, and how often it is chosen."""

    words: Callable[[Rng], Words]
    options: dict[str, Values | None]
    weight: float


def jets(rng: Rng) -> str:
    return mostly(rng, JETS, NAMES, 0.85)


def scores(rng: Rng) -> str:
    name = mostly(rng, SCORES, (*NAMES, *JETS), 0.85)
    label = str(
        pick(rng, ("", "", "", "top=", "$x$=", "a_{b=", "^=", "x" * 300 + "=", "\x1b[0m=", "%=", "é=", "="))
    )
    return label + name


def _train(rng: Rng) -> Words:
    words = ["train", "-b", jets(rng)]
    if rng.random() < 0.7:
        words.append("--print-config" if rng.random() < 0.6 else "--check")
    else:
        # a representation that every command line has: it keeps a training below a second
        words += ["--representation", "features", *QUICK[:6], *QUICK[8:]]
    if rng.random() < 0.7:
        words += ["-o", mostly(rng, ("trained", "half", "run", "folder", "runlink"), NAMES, 0.8)]
    return words


COMMANDS: dict[str, Command] = {
    "inspect": Command(lambda r: ["inspect", jets(r)], {**INPUT, **FORCE, "--plot": out, "--json": None,
                       "--suggest-mapping": None}, 3),
    "train": Command(_train, {**INPUT, **TRAINING, **DEVICE, **FORCE, "--monitor": lambda r: scores(r),
                     "--signal": lambda r: jets(r), "--threads": small}, 4),
    "score": Command(lambda r: ["score", jets(r), "--run", mostly(r, RUNS, NAMES), "-o", out(r)],
                     {**INPUT, **DEVICE, **FORCE, "--keep": _one_of("label", "jet_pt", "weight", share=0.5),
                      "--working-point": fraction, "--threads": small, "--part": _one_of("1/2", "2/2", "1/1", share=0.6,
                      bad=("0/1", "3/2", "1/999999", "x", "/", *NUMBERS)), "--chunk": _one_of("7", "100000", share=0.5,
                      bad=NUMBERS), "--copy": None, "--layout": _one_of("jets", "events", share=0.9),
                      "--output-format": _one_of("ttree", "rntuple", share=0.9), "--check": None, "--json": None}, 6),
    "calibrate": Command(lambda r: ["calibrate", "--run", mostly(r, RUNS, NAMES), "-b", jets(r)],
                         {**INPUT, **DEVICE, "--in-bins-of": _one_of("jet_pt=100,200", "jet_mass", "jet_pt=", "jet_pt=nan",
                          "jet_pt=2,1", "jet_pt=1,1", "x", share=0.8), "--decorrelate": _one_of("jet_mass", share=0.6),
                          "--weight": _one_of("weight", "label", share=0.5), "--working-point": fraction, "--rate": number,
                          "--json": None}, 3),
    "verify": Command(lambda r: ["verify", mostly(r, SCORES, NAMES), jets(r)], {**READING, **RUN, "--json": None}, 2),
    "merge": Command(lambda r: ["merge", mostly(r, SCORES, NAMES), mostly(r, SCORES, NAMES), "-o", out(r)],
                     {**FORCE, "--json": None}, 1),
    "roc": Command(lambda r: ["roc", "-b", scores(r), "-s", scores(r)],
                   {**FORCE, **LABEL, "--json": _one_of("-", "new.json", share=0.8), "--eff-s": fraction, "--eff-b": fraction,
                    "--by": _one_of("run", "folder", share=0.9), "--spread": None, "--min-background": big,
                    "--hepdata": _one_of("tables", share=0.7)}, 3),
    "select": Command(lambda r: ["select", mostly(r, SCORES, NAMES), *(["--working-point", "0.3"] if r.random() < 0.9 else [])],
                      {**FORCE, "--signal": scores, "--threshold": number,
                       "--on": _one_of("score", "jet_pt", "background_efficiency", share=0.7), "--variable":
                       _one_of("jet_mass", "jet_pt", "entry", share=0.7), "--bins": _one_of("5", "0,50,100", "1", share=0.7,
                       bad=NUMBERS), "--window": _one_of("10,20", "20,10", share=0.7, bad=NUMBERS), "--expect": text,
                       "--json": _one_of("-", "new.json", share=0.8), "--histograms": _one_of("new.root", share=0.7),
                       "--workspace": _one_of("new.json", share=0.7), "--allow": _one_of("labels", "overlap", share=0.9)}, 2),
    "runs": Command(lambda r: ["runs", str(pick(r, ["list", "show", "compare", "remove"])),
                               *(mostly(r, RUNS, NAMES) for _ in range(r.integers(3)))],
                    {"--json": _one_of("-", "new.json", share=0.8), "--yes": None}, 1),
    "explore": Command(lambda r: ["explore", mostly(r, RUNS, NAMES), jets(r), "-o", mostly(r, ("new.html",), NAMES)],
                       {**FORCE, "--max-jets": big, "--allow": _one_of("range", share=0.9)}, 1),
    "fetch": Command(lambda r: ["fetch", *([mostly(r, ("top-landscape", "lhco"), NAMES)] if r.random() < 0.5 else ["--list"])],
                     {"--json": _one_of("-", "new.json", share=0.8)}, 0.3),
    "roc figure": Command(lambda r: ["roc", "-b", scores(r), "-s", scores(r), "-o", mostly(r, ("new",), NAMES)],
                          {**FORCE, **LABEL, "--ratio": None}, 0.4),
    "plot scores": Command(lambda r: ["plot", "scores", scores(r), scores(r), "-o", mostly(r, ("new",), NAMES)],
                           {**FORCE, **LABEL, "--log-x": None}, 0.4),
    "plot history": Command(lambda r: ["plot", "history", mostly(r, RUNS, NAMES), "-o", "new"], {**FORCE, **LABEL}, 0.4),
    "plot images": Command(lambda r: ["plot", "images", mostly(r, ("", "$x_=", "a{="), ("b=",)) + jets(r), jets(r),
                                      "-o", "new"],
                           {**FORCE, **LABEL, "--sigma": _one_of("1", share=0.5, bad=NUMBERS), "--max-jets": big}, 0.4),
    "plot efficiency": Command(lambda r: ["plot", "efficiency", scores(r), "-o", "new"],
                               {**FORCE, "--eff-b": fraction, "--bins": big, "--json": _one_of("new.json"),
                                "--jets": lambda r: jets(r)}, 0.4),
    "plot sculpting": Command(lambda r: ["plot", "sculpting", scores(r), "-o", "new"],
                              {**FORCE, "--cut": fraction, "--json": _one_of("new.json")}, 0.3),
    "plot anomalous": Command(lambda r: ["plot", "anomalous", jets(r), "-o", "new"],
                              {**FORCE, **RUN, "--scores": lambda r: mostly(r, SCORES, NAMES), "--count": big}, 0.3),
    "plot negatives": Command(lambda r: ["plot", "negatives", "-o", "new"], {**FORCE, **RUN, "--count": small}, 0.2),
    "report": Command(lambda r: ["report", "--run", mostly(r, RUNS, NAMES), "-b", mostly(r, ("gone.h5",), NAMES)],
                      {**FORCE, "--signal": lambda r: jets(r), "--study": text, "-o": text, "--pdf": text}, 0.5),
    "export": Command(lambda r: ["export", "--run", mostly(r, RUNS, NAMES), "-o",
                                 mostly(r, ("gone/new.onnx", "new.txt"), NAMES)],
                      {**FORCE, "--target": _one_of("cmssw", "athena", "triton", share=0.9), "--tolerance": number}, 0.4),
    "simulate": Command(lambda r: ["simulate", mostly(r, ("qcd", "svj"), NAMES), "-n", "0", "-o", out(r)],
                        {**FORCE, "--seed": big, "--pt-min": number}, 0.3),
    "submit": Command(lambda r: ["submit", str(pick(r, ("slurm", "htcondor"))), *(["--dry-run"] if r.random() < 0.7 else [])],
                      {"--name": text, "--jobs-dir": _one_of("jobs", "new", share=0.6), "--site": _one_of("conf.yaml"),
                       "--profile": text, "--partition": text, "--memory": _one_of("4G", "1", share=0.4, bad=NUMBERS),
                       "--time": _one_of("8h", "1:00:00", "1-2:3:4", share=0.4, bad=NUMBERS), "--cpus": small, "--gpus": small,
                       "--container": text, "--option": _one_of("qos=x", "setup=a", "=", share=0.6), "--seeds": small,
                       "--scan": _one_of("training.epochs=1,2", "x=", "method=ae,gmm", share=0.7), "--parts": small,
                       "--files-per-task": small, "--json": None}, 1.5),
    "status": Command(lambda r: ["status", mostly(r, ("jobs", "jobs/one"), NAMES)], {"--all": None, "--json": None}, 1.5),
    "resubmit": Command(lambda r: ["resubmit", mostly(r, ("jobs/one",), NAMES)],
                        {**FORCE, "--dry-run": None, "--factor": number, "--memory": number, "--time": text}, 1),
    "plan": Command(lambda r: ["plan", jets(r), "--run", mostly(r, RUNS, NAMES), "--seconds", "0.05"],
                    {**INPUT, "--jobs": small, "--target-hours": number, "--chunk": big, "--json": None}, 0.5),
    "cite": Command(lambda r: ["cite"], {**RUN, "--text": None, "--json": None}, 0.5),
    "methods": Command(lambda r: [str(pick(r, ("methods", "readers"))), *([] if r.random() < 0.5 else ["--json"])], {}, 0.3),
    "two-way": Command(lambda r: ["two-way", "-b", jets(r), "-s", jets(r), "--max-jets", "100",
                                    "--set", "training.epochs=x"],
                       {**FORCE, **LABEL, "--config": _one_of("map.yaml", "gone"), "--set": _one_of("x=1", "training=3"),
                        "--test-fraction": fraction, "-o": text, "--method": text}, 0.3),
    "contamination": Command(lambda r: ["contamination", "-b", jets(r), "-s", jets(r), "--method", "gone"],
                             {"--fraction": fraction, "--n-train": big, "--max-jets": big}, 0.2),
    "robustness": Command(lambda r: ["robustness", "--run", mostly(r, RUNS, NAMES), "-b", mostly(r, ("gone.h5",), NAMES)],
                          {**FORCE, "--eff-b": fraction, "--max-jets": big, "--seed": big, "-o": text}, 0.3),
    "bench": Command(lambda r: ["bench", "--sample", f"a={jets(r)}", "--train", mostly(r, ("b",), NAMES)],
                     {"--detector": text, "--judge": text, "-o": text}, 0.3),
    "nonsense": Command(lambda r: [mostly(r, NAMES, ("score", "train")) for _ in range(int(r.integers(1, 4)))], INPUT, 0.5),
}  # fmt: skip


def make_words(rng: Rng) -> Words:
    weights = np.array([c.weight for c in COMMANDS.values()])
    command = list(COMMANDS.values())[int(rng.choice(len(weights), p=weights / weights.sum()))]
    words = command.words(rng)
    names = list(command.options)
    n = int(rng.integers(0, 4)) if names else 0
    for name in (names[int(i)] for i in rng.integers(len(names), size=n)) if names else ():
        values = command.options[name]
        words += [name] if values is None else [name, values(rng)]
    if words[0] == "submit":
        inner = COMMANDS[str(pick(rng, ("train", "score")))]
        words += ["--", *[w for w in inner.words(rng) if w not in ("--print-config", "--check")]]
    if rng.random() < 0.03:
        words.insert(
            int(rng.integers(len(words) + 1)),
            str(pick(rng, ("-v", "-vv", "-q", "--help", "--version", "--"))),
        )
    return [w for w in words if "\0" not in w]


# --- files -------------------------------------------------------------------------------------------------

PUT: tuple[Any, ...] = (
    None, -5, 0, 1.5, math.nan, math.inf, -1e308, 1e308, 10**400, "x", "", "\x1b[31m", [], {}, [[]], True, [None],
    {"kind": "bins"}, [1.0, math.nan], [3, 2, 1], ["x"], "../../etc", 2**64, "é", [1e300, 1e300],
)  # fmt: skip


def mutate(value: Any, rng: Rng) -> Any:
    """A nested value with one to three of its parts replaced, removed, or doubled."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        node, above, key = value, None, None
        while isinstance(node, (dict, list)) and node and (above is None or rng.random() < 0.75):
            above, key = (
                node,
                (pick(rng, list(node)) if isinstance(node, dict) else int(rng.integers(len(node)))),
            )
            node = node[key]
        kind = rng.integers(6)
        if above is None or (kind == 0 and rng.random() < 0.1):
            value = copy.deepcopy(pick(rng, PUT))
        elif kind == 1:
            del above[key]
        elif kind == 2 and isinstance(node, list):
            node.extend(copy.deepcopy(node[:3]))
        elif kind == 3 and isinstance(node, list) and node:
            del node[len(node) // 2 :]
        elif kind == 4 and isinstance(node, (int, float)) and not isinstance(node, bool):
            factor = pick(rng, (-1, 0, 1e6, 1e300, 0.5))
            above[key] = node * (factor if abs(node) < 1e300 else int(factor > 0))  # integers have no end
        else:
            above[key] = copy.deepcopy(pick(rng, PUT))
    return value


def _mutate_tensors(path: Path, rng: Rng) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    name = str(pick(rng, sorted(tensors)))
    x = tensors[name]
    kind = rng.integers(7)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name] = torch.full_like(x, float("nan")) if x.is_floating_point() else torch.zeros_like(x)
    elif kind == 2:
        tensors[name] = x.reshape(-1)[:-1].clone()
    elif kind == 3:
        tensors[name] = x.to(torch.int8)
    elif kind == 4:
        tensors[f"{name}.more"] = x.clone()
    elif kind == 5:
        tensors[name] = x.float() * 1e30
    else:
        tensors = {}
    save_file(tensors, path)


def _mutate_checkpoint(path: Path, rng: Rng) -> None:
    import torch

    state = mutate(torch.load(path, weights_only=True), rng)
    torch.save(state, path)


def damage_file(path: Path, rng: Rng) -> str:
    """Damage a file, by its bytes or by what they mean; says how."""
    data = path.read_bytes()
    suffix = path.suffix
    if rng.random() < 0.3 and data:
        path.write_bytes(damage(data, rng))
        return "bytes"
    with contextlib.suppress(ValueError):
        if suffix == ".json":
            path.write_text(json.dumps(mutate(json.loads(data), rng)))
            return "values"
        if suffix == ".jsonl":
            lines = mutate([json.loads(line) for line in data.splitlines()], rng)
            path.write_text(
                "\n".join(json.dumps(line) for line in (lines if isinstance(lines, list) else [lines])) + "\n"
            )
            return "values"
        if suffix in (".yaml", ".yml"):
            import yaml

            path.write_text(yaml.safe_dump(mutate(yaml.safe_load(data), rng), sort_keys=False))
            return "values"
        if suffix == ".pt":
            try:
                _mutate_checkpoint(path, rng)
            except Exception:  # torch cannot read what an earlier case left here: damage the file as a whole
                path.write_bytes(damage(data, rng) if data else b"x")
            return "values"
        if suffix == ".safetensors":
            _mutate_tensors(path, rng)
            return "values"
    kind = rng.integers(5)
    if kind == 0:
        path.write_bytes(b"")
    elif kind == 1:
        path.write_bytes(b"\0" * len(data))
    elif kind == 2:
        path.unlink()
        os.mkfifo(path)
    elif kind == 3:
        path.unlink()
    else:
        path.write_bytes(damage(data, rng) if data else b"x")
    return "whole"


def odd_jets() -> Any:
    """Jets that no detector has seen: empty, NaN, infinite, negative, at phi = 1e30."""
    from jetad.jets import Jets

    nan, inf = math.nan, math.inf
    rows = [[], [(nan, 0, 0, 0)], [(inf, 0, 0, 0)], [(-5, 0, 0, 0)], [(50, 0, 1e30, 0)], [(50, 1e6, 0, 0)]]
    rows += [[(1e30, 0, 0, 0)] * 3, [(1e-30, 0, 0, 0)], [(0.0, 0, 0, 5)], [(50, 0.1, 0.1, nan)]]
    rows += [[(50.0, 0.1 * i, 0.2, 0), (20.0, 0.3, 0.1, 0)] for i in range(5)]
    return Jets.from_lists(rows, labels=np.zeros(len(rows), dtype=np.int8))


def make_originals(folder: Path) -> None:
    """Jets, runs, scores and jobs that all cases start from."""
    import h5py
    from conftest import toy_jets

    from jetad.writers import write_jets
    from jetad_cli.main import main

    def jetad(*words: str) -> int:
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
                main(list(words))
        except SystemExit as request:
            if request.code not in (0, None, 85):
                raise RuntimeError(f"{words}: {said.getvalue()}") from None
            return int(request.code or 0)
        return 0

    write_jets(toy_jets(150, 1, labels=0), "qcd.h5")
    write_jets(toy_jets(150, 3, labels=0), "many.h5")
    write_jets(toy_jets(40, 2, mean=60, labels=1), "top.root", metadata={"process": "top"})
    write_jets(odd_jets(), "odd.h5")
    shutil.copy("qcd.h5", "landscape.h5")
    shutil.copy("qcd.h5", "list")
    rng = np.random.default_rng(0)
    np.savez_compressed("images.npz", images=rng.random((30, 40, 40), dtype=np.float32), labels=np.zeros(30))
    with h5py.File("map.h5", "w") as file:
        file["p"] = rng.random((20, 5, 3)).astype(np.float32)
    Path("map.yaml").write_text("constituents: {pt: 'p[..., 0]', eta: 'p[..., 1]', phi: 'p[..., 2]'}\n")
    Path("conf.yaml").write_text("method: ae\ntraining: {epochs: 1}\n")
    Path("names.txt").write_text("qcd.h5\n# comment\ntop.root\n")
    jetad("train", "-b", "qcd.h5", "-o", "run", *QUICK)
    jetad(
        "train",
        "-b",
        "qcd.h5",
        "-o",
        "images",
        "--representation",
        "image",
        "--method",
        "ae",
        *QUICK[:2],
        *QUICK[4:],
    )
    jetad("train", "-b", "qcd.h5", "-o", "plain", "--method", "mass")
    _stopped_training(jetad)
    for words in (["qcd.h5", "-o", "qcd.scores.h5"], ["top.root", "-o", "top.scores.root"],
                  ["qcd.h5", "-o", "csv.scores.csv"], ["qcd.h5", "-o", "parquet.scores.parquet"]):  # fmt: skip
        jetad("score", *words, "--run", "run")
    jetad("submit", "slurm", "--name", "one", "--seeds", "2", "--", "train", "-b", "qcd.h5", "-o", "batch")
    os.mkfifo("pipe")
    os.symlink("gone", "dangling")
    os.symlink("circle", "circle")
    os.symlink("run", "runlink")
    Path("folder").mkdir()
    Path("folder/precious").write_text("precious")


def _stopped_training(jetad: Callable[..., int]) -> None:
    from jetad.errors import Interrupted
    from jetad.training import loop

    one_step, steps = loop.Trainer._one_step, []

    def stopping(self: Any, phase: Any) -> None:
        one_step(self, phase)
        steps.append(phase)
        if len(steps) == 3:
            self._save()
            raise Interrupted("here")

    loop.Trainer._one_step = stopping  # type: ignore[method-assign]
    try:
        jetad("train", "-b", "qcd.h5", *HALF)
    finally:
        loop.Trainer._one_step = one_step  # type: ignore[method-assign]


HALF = ["-o", "half", "--representation", "features", *QUICK[:6], *QUICK[8:]]


# --- environments ------------------------------------------------------------------------------------------


class Full(io.RawIOBase):
    """A device without room, or a pipe that nobody reads."""

    def __init__(self, number: int) -> None:
        self.number = number

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raise OSError(self.number, os.strerror(self.number))


def environment(rng: Rng) -> tuple[str, dict[str, str | None], dict[str, Any]]:
    """A name, variables, and streams."""
    kind = int(rng.integers(40))
    changes: dict[int, tuple[str, dict[str, str | None], dict[str, Any]]] = {
        0: ("no HOME", {"HOME": None}, {}),
        1: ("odd HOME", {"HOME": "/dev/null", "XDG_CONFIG_HOME": None}, {}),
        2: ("narrow", {"COLUMNS": "1"}, {}),
        3: ("JETAD_RUN", {"JETAD_RUN": str(pick(rng, NAMES))}, {}),
        4: ("stdout full", {}, {"stdout": 28}),
        5: ("stdout closed", {}, {"stdout": 32}),
        6: ("stderr none", {}, {"stderr": None}),
        7: ("stdout ascii", {}, {"encoding": "ascii"}),
        8: ("TMPDIR", {"TMPDIR": "/nonexistent"}, {}),
        9: ("odd site", {"XDG_CONFIG_HOME": "\udcff"}, {}),
        10: ("stdout none", {}, {"stdout": None}),
        11: ("COLUMNS", {"COLUMNS": "x", "LINES": "-1"}, {}),
        12: ("stderr ascii", {}, {"encoding": "latin-1"}),
        13: ("unpacked", {"JETAD_MAX_UNPACKED_GB": str(pick(rng, NUMBERS))}, {}),
    }
    return changes.get(kind, ("", {}, {}))


# --- a case ------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    words: Words
    damaged: str
    environment: str
    code: Any
    stdout: str
    stderr: str
    problems: list[str]
    trace: str
    seconds: float


class Runner:
    """Runs cases, each in a fresh copy of the original files."""

    def __init__(self, originals: Path, scratch: Path) -> None:
        self.originals, self.scratch = originals, scratch
        self.files = sorted(
            p.relative_to(originals)
            for p in originals.rglob("*")
            if p.is_file() and not p.is_symlink() and "logs" not in p.parts and p.name != "precious"
        )

    def copy(self, folder: Path) -> None:
        shutil.copytree(
            self.originals, folder, symlinks=True, ignore=lambda d, n: [x for x in n if x == "pipe"]
        )
        os.mkfifo(folder / "pipe")

    def chosen(self, words: Words, rng: Rng) -> Path | None:
        """A file to damage: mostly one that the command reads."""
        if rng.random() < 0.35:
            return None
        named = [
            f
            for f in self.files
            if any(w.rpartition("=")[2] in (str(f), *map(str, f.parents)) for w in words)
        ]
        named = [f for f in named if str(f) != "."]
        return pick(rng, named) if named and rng.random() < 0.9 else pick(rng, self.files)

    def run(self, seed: int) -> Case:
        rng = np.random.default_rng(seed)
        words = make_words(rng)
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        self.copy(folder)
        damaged = ""
        which = self.chosen(words, rng)
        if which is not None:
            damaged = f"{which} ({damage_file(folder / which, rng)})"
        if rng.random() < 0.02:
            words = ["train", "-b", "qcd.h5", *HALF]
            which = Path(str(pick(rng, ("half/checkpoint.pt", "half/history.jsonl", "half/provenance.json"))))
            damaged = f"{which} ({damage_file(folder / which, rng)})"
        name, variables, streams = environment(rng)
        return self.execute(words, folder, damaged, name, variables, streams)

    def execute(
        self, words: Words, folder: Path, damaged: str, name: str, variables: dict[str, str | None],
        streams: dict[str, Any],
    ) -> Case:  # fmt: skip
        before = dict(os.environ)
        seen = {p.name for p in folder.iterdir()}
        captured = {"stdout": io.BytesIO(), "stderr": io.BytesIO()}
        traces: list[str] = []
        began = time.monotonic()
        os.chdir(folder)
        os.environ.pop("JETAD_RUN", None)
        for key, value in variables.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        shown: list[Any] = []
        try:
            with replaced_streams(captured, streams), warnings.catch_warnings(record=True) as shown:
                warnings.simplefilter("default")
                for category in (
                    DeprecationWarning,
                    PendingDeprecationWarning,
                    ImportWarning,
                    ResourceWarning,
                ):
                    warnings.simplefilter("ignore", category)
                code = guarded_main(words, traces)
        finally:
            os.chdir(self.scratch)
            os.environ.clear()
            os.environ.update(before)
            import matplotlib.pyplot as plt

            plt.close("all")
        seconds = time.monotonic() - began
        said = {key: value.getvalue().decode("utf-8", "replace") for key, value in captured.items()}
        case = Case(words, damaged, name, code, said["stdout"], said["stderr"], [], "".join(traces), seconds)
        case.problems.extend(judge(case, folder, seen, shown, streams))
        return case


@contextlib.contextmanager
def replaced_streams(captured: dict[str, io.BytesIO], streams: dict[str, Any]) -> Iterator[None]:
    old = sys.stdout, sys.stderr
    encoding = streams.get("encoding", "utf-8")
    made: dict[str, Any] = {}
    for name, raw in captured.items():
        given = streams.get(name, raw)
        if given is None:
            made[name] = None
            continue
        target = io.BufferedWriter(Full(given)) if isinstance(given, int) else raw
        errors = "backslashreplace" if name == "stderr" else "strict"
        made[name] = io.TextIOWrapper(target, encoding=encoding, errors=errors, write_through=True)
    sys.stdout, sys.stderr = made["stdout"], made["stderr"]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = old
        for name, stream in made.items():
            if stream is not None:
                with contextlib.suppress(Exception):
                    stream.flush()
                with contextlib.suppress(Exception):
                    if streams.get(name, 0) == 0:
                        stream.detach()


@contextlib.contextmanager
def limited(alarm: Callable[..., None]) -> Iterator[None]:
    """Inside, ``alarm`` is called when the time is over: of the processor, so that a busy machine is no hang.

    On the clock it is over when so much has passed with hardly any work done in it: then it waits for something.
    """
    timers = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 4))
    worked, waits = time.process_time(), 0

    def waiting(signum: int, frame: Any) -> None:
        nonlocal worked, waits
        now = time.process_time()
        if now - worked < LIMIT_S / 60 or waits > 20:
            alarm(signum, frame)
        worked, waits = now, waits + 1
        signal.setitimer(signal.ITIMER_REAL, 4 * LIMIT_S)

    handlers = (alarm, waiting)
    before = [
        signal.signal(number, handler) for (_, number, _), handler in zip(timers, handlers, strict=True)
    ]
    for timer, _, factor in timers:
        signal.setitimer(timer, factor * LIMIT_S)
    try:
        yield
    finally:
        for (timer, number, _), old in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, old)


def guarded_main(words: Words, traces: list[str]) -> Any:
    """The exit code, or the name of what escaped."""
    from jetad_cli import main as module

    plain = module.echo

    def echo(text: Any = "", **options: Any) -> None:
        if "this is a bug" in str(text):
            traces.append(traceback.format_exc())
        plain(text, **options)

    def alarm(signum: int, frame: Any) -> None:
        traces.append("".join(traceback.format_stack(frame)))
        raise Hang

    module.echo = echo
    try:
        with limited(alarm):
            module.main(list(words))
    except SystemExit as request:
        return 0 if request.code is None else request.code
    except Hang:
        return "hang"
    except BaseException as error:
        traces.append(traceback.format_exc())
        return type(error).__name__
    finally:
        module.echo = plain
        sys.excepthook = sys.__excepthook__
    return 0


_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")


def judge(case: Case, folder: Path, seen: set[str], shown: list[Any], streams: dict[str, Any]) -> list[str]:
    problems = []
    verbose = "-vv" in case.words or case.words.count("-v") > 1
    broken = any(isinstance(streams.get(name, 0), int) and streams.get(name) for name in ("stdout", "stderr"))
    if case.code == "hang":
        return ["hang"]
    if "this is a bug" in case.stderr:
        problems.append("unexpected")
    if "Traceback" in case.stderr and not verbose:
        problems.append("unexpected")
    if not isinstance(case.code, int) or case.code not in (0, 1, 2, 85):
        problems.append(
            "unexpected" if verbose and isinstance(case.code, str) and "Error" not in case.code else "code"
        )
    if verbose and str(case.code).endswith("Error") and is_told(str(case.code)):
        problems = [p for p in problems if p != "code"]  # its traceback was asked for
    if (
        case.code in (1, 2)
        and not broken
        and streams.get("stderr", 0) is not None
        and "rror" not in case.stderr
    ):
        problems.append("silent")
    if shown or re.search(r"\.py:\d+: \w*Warning", case.stderr):
        problems.append("warning")
    if any(p.name not in seen and re.search(r"\.(tmp|old)(\.|$)", p.name) for p in folder.rglob(".*")):
        problems.append("leftover")
    if SECRET in case.stdout or SECRET in case.stderr or wrote_secret(folder):
        problems.append("secret")
    if _CONTROL.search(case.stderr):
        problems.append("control")
    if (
        not verbose
        and max(map(len, case.stderr.splitlines()), default=0) > 2000
        and case.code not in (0, "hang")
    ):
        problems.append("long")
    if Path(folder, "PWN").exists():
        problems.append("executed")
    if Path(folder, "folder/precious").exists() is False:
        problems.append("lost")
    return list(dict.fromkeys(problems))


def is_told(name: str) -> bool:
    """Whether an error of this name is one plain sentence where no traceback was asked for."""
    import builtins

    from jetad import errors

    kind = getattr(errors, name, None) or getattr(builtins, name, Exception)
    return issubclass(kind, (errors.JetadError, OSError))


def wrote_secret(folder: Path) -> bool:
    secret = SECRET.encode()
    for path in folder.rglob("*"):
        if (
            path.is_file()
            and not path.is_symlink()
            and path.stat().st_size < 1 << 20
            and secret in path.read_bytes()
        ):
            return True
    return False


# --- damaged files -----------------------------------------------------------------------------------------


def read_anything(path: Path, root: Path) -> None:
    """What a command does with a file of this name."""
    import torch

    from jetad.batch.job import Job
    from jetad.batch.slurm import Slurm
    from jetad.batch.status import job_status
    from jetad.config import resolve_config
    from jetad.detector import TrainedDetector
    from jetad.production.ledger import read_ledger
    from jetad.readers import iterate
    from jetad.readers.formats.mapping import load_mapping
    from jetad.runs import Run
    from jetad.scores import load_scores

    name = path.name
    run = Run(path.parent)
    if name in (
        "calibration.json",
        "preprocessing.json",
        "model.safetensors",
        "config.yaml",
        "provenance.json",
    ):
        Run.open(run.path)
        _ = run.finished
        scored = TrainedDetector.from_run(run, "cpu").evaluate(next(iterate(root / "qcd.h5", step=20)))
        p = scored.background_efficiency
        if np.any((p[~np.isnan(p)] < 0) | (p[~np.isnan(p)] > 1)):
            raise AssertionError(f"background efficiencies from {np.nanmin(p)} to {np.nanmax(p)}")
    elif name == "history.jsonl":
        run.history()
    elif name.startswith("checkpoint"):
        from jetad.distributed.process_group import Ranks
        from jetad.training.checkpoint import RunWriter

        RunWriter(run, Ranks()).restore()
    elif name.endswith(".ledger.json"):
        read_ledger(path.with_name(name.removesuffix(".ledger.json")))
    elif name == "job.json":
        job = Job.open(path.parent)
        job_status(job, Slurm())
    elif name == "map.yaml":
        load_mapping(path)
    elif name == "conf.yaml":
        resolve_config(text=path.read_text(errors="surrogateescape"), source=name)
    elif ".scores." in name:
        load_scores(path)
    else:
        for _ in iterate(path, step=50):
            pass
    torch.manual_seed(0)


def damaged_case(runner: Runner, seed: int) -> tuple[str, str]:
    """The file with what became of it, and a traceback where that must not be."""
    from jetad.errors import JetadError

    rng = np.random.default_rng(seed)
    files = [
        f for f in runner.files if f.suffix not in (".txt", ".args", ".sh", ".svg", "") or f.name == "list"
    ]
    # every kind of file as often as any other
    kinds = sorted({f.name for f in files})
    kind = pick(rng, kinds)
    file = pick(rng, [f for f in files if f.name == kind])
    folder = runner.scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    runner.copy(folder)
    os.chdir(folder)
    path = folder / file
    how = damage_file(path, rng)

    def alarm(signum: int, frame: Any) -> None:
        raise Hang

    try:
        with limited(alarm), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", UserWarning)
            read_anything(path, runner.originals)
    except JetadError as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            return "unexpected", f"{file} ({how}): not one sentence: {str(error)[:3000]}"
        return "refused", ""
    except (FileNotFoundError, PermissionError):
        return "refused", ""
    except Hang:
        return "hang", f"{file} ({how})"
    except BaseException:
        return "unexpected", f"{file} ({how})\n{traceback.format_exc()}"
    finally:
        os.chdir(runner.scratch)
    return "read", ""


# --- the program -------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=["commands", "files"], default="commands")
    parser.add_argument("--only", type=int, help="run this case alone and show all of it")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no case after so long")
    parser.add_argument("--show", type=int, default=1, help="examples of each distinct problem")
    arguments = parser.parse_args()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ.update(OMP_NUM_THREADS="1", MPLBACKEND="Agg")

    from jetad.readers.containers import remote

    remote.RETRY_DELAYS = ()
    with tempfile.TemporaryDirectory(prefix="jetad-fuzz-") as name:
        base = Path(name)
        prepare_machine(base)
        (base / "originals").mkdir()
        (base / "scratch").mkdir()
        os.chdir(base / "originals")
        began = time.monotonic()
        make_originals(base / "originals")
        print(f"originals made in {time.monotonic() - began:.1f} s", file=sys.stderr)
        runner = Runner(base / "originals", base / "scratch")
        seeds = [arguments.only] if arguments.only is not None else range(
            arguments.seed * 1_000_000, arguments.seed * 1_000_000 + arguments.n
        )  # fmt: skip
        run = run_commands if arguments.kind == "commands" else run_files
        try:
            return run(runner, list(seeds), arguments)
        finally:
            os.chdir("/")


def prepare_machine(base: Path) -> None:
    """A home of its own, and a scheduler that takes every job and knows none."""
    (base / "bin").mkdir()
    (base / "home").mkdir()
    for name, answer in (("sbatch", "echo 17"), ("squeue", "true"), ("sacct", "true"), ("condor_q", "echo '[]'"),
                         ("condor_history", "echo '[]'"), ("condor_submit", "echo '1.0 - 1.0'")):  # fmt: skip
        path = base / "bin" / name
        path.write_text(f"#!/bin/sh\n{answer}\n")
        path.chmod(0o755)
    os.environ["PATH"] = f"{base / 'bin'}:{os.environ['PATH']}"
    os.environ["HOME"] = str(base / "home")
    os.environ["XDG_CONFIG_HOME"] = str(base / "home")


def within(seeds: list[int], seconds: float) -> Iterator[int]:
    """The seeds, until so much time has passed."""
    end = time.monotonic() + seconds
    yield from itertools.takewhile(lambda _: time.monotonic() < end, seeds)


def run_commands(runner: Runner, seeds: list[int], arguments: argparse.Namespace) -> int:
    codes: Counter[Any] = Counter()
    problems: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    signatures: dict[str, list[int]] = {}
    began, slowest = time.monotonic(), (0.0, 0)
    for seed in within(seeds, arguments.seconds):
        case = runner.run(seed)
        codes[case.code] += 1
        kinds[case.words[0] if case.words else ""] += 1
        problems.update(case.problems)
        slowest = max(slowest, (case.seconds, seed))
        for problem in case.problems:
            last = (
                [x for x in case.trace.strip().splitlines() if x.strip()][-1:]
                or case.stderr.splitlines()[-1:]
                or [""]
            )
            where = [
                x.strip() for x in case.trace.splitlines() if "jetad" in x and x.strip().startswith("File")
            ][-1:]
            known = signatures.setdefault(f"{problem}: {last[0][:160]} {' '.join(where)[-110:]}", [])
            known.append(seed)
            if len(known) <= arguments.show:
                show(case, seed, problem)
        if arguments.only is not None:
            print(case.words, case.damaged, case.environment, case.code, case.problems)
            print(case.stdout, case.stderr, case.trace, sep="\n---\n")
    print("\ndistinct problems:")
    for signature, found in sorted(signatures.items(), key=lambda item: -len(item[1])):
        print(f"{len(found):5}  {signature!a}  e.g. {found[0]}")
    result = {
        "commands": sum(codes.values()), "seconds": round(time.monotonic() - began), "codes": {str(k): v for k, v in codes.items()},
        "problems": dict(problems), "slowest": [round(slowest[0], 1), slowest[1]], "by command": dict(kinds),
    }  # fmt: skip
    print(json.dumps(result))
    return 1 if problems else 0


def show(case: Case, seed: int, problem: str) -> None:
    words = [w if len(w) < 80 else w[:77] + "..." for w in case.words]
    print(f"\n=== {problem} (seed {seed}) {case.code!r}: {words!a}")
    print(f"    damaged {case.damaged!a}; {case.environment}; {case.seconds:.1f} s")
    print("    " + "\n    ".join(ascii(line)[1:300] for line in case.stderr.splitlines()[-3:]))
    if case.trace:
        print(
            "    "
            + "\n    ".join(case.trace.strip().splitlines()[-6:])[:1500].encode("ascii", "replace").decode()
        )
    sys.stdout.flush()


def run_files(runner: Runner, seeds: list[int], arguments: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    signatures: Counter[str] = Counter()
    began = time.monotonic()
    for seed in within(seeds, arguments.seconds):
        outcome, problem = damaged_case(runner, seed)
        counts[outcome] += 1
        if problem:
            signature = problem.strip().splitlines()[-1][:200]
            signatures[signature] += 1
            if signatures[signature] <= arguments.show:
                lines = problem.strip().splitlines()
                print(f"\n=== {outcome} (seed {seed}): {lines[0]}\n" + "\n".join(lines[-6:])[:2000])
                sys.stdout.flush()
    for signature, n in signatures.most_common():
        print(f"{n:5}  {signature!a}")
    print(json.dumps({"files": sum(counts.values()), "seconds": round(time.monotonic() - began), **counts}))
    return 1 if counts["unexpected"] or counts["hang"] else 0


if __name__ == "__main__":
    sys.exit(main())
