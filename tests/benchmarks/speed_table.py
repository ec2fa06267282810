"""All speed ratios in one run, as one Markdown table: training steps, imaging, scoring.

    python tests/benchmarks/speed_table.py RUN [RUN ...] BACKGROUND.h5 [-o speed.md] [--quick]

Runs ``engine_speed.py``, ``imaging_speed.py`` and, for each run, ``scoring_throughput.py`` one after the
other and puts their ratios beside what they are asked to be. Leave the machine alone meanwhile: the load is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
# (script, ratio in its JSON, what it is, at least)
RATIOS = [
    ("engine_speed", "same network", "training step, published network and chains / published loop", 1.3),
    (
        "engine_speed",
        "network of nae, 30 + 30 adjusted steps",
        "training step, network of nae, as many chain steps / published loop",
        10.0,
    ),
    (
        "engine_speed",
        "network and chains of nae",
        "training step, network and chains of nae / published loop",
        None,
    ),
    ("imaging_speed", "loop", "imaging / a loop over jets", 20.0),
    ("imaging_speed", "padded", "imaging / padded arrays", 5.0),
    ("imaging_speed", "padded, 200 slots", "imaging / padded arrays of 200 slots", None),
]
SCORING = [
    ("end to end, h5 / network", "HDF5 / the network alone in float32", 0.7),
    ("end to end, root / network", "ROOT / the network alone in float32", 0.7),
    ("end to end, h5 / plain script", "HDF5 / a plain script", 20.0),
    ("end to end, root / plain script", "ROOT / a plain script", 20.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("background", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="few jets and steps, to try the script")
    args = parser.parse_args()
    jets = ["--jets", "1000"] if args.quick else []
    arguments = {
        "engine_speed": ["--steps", "1"] if args.quick else [],
        "imaging_speed": [*jets, "--repeat", "1"] if args.quick else [],
    }
    load = os.getloadavg()[0]
    found = {name: run(name, words) for name, words in arguments.items()}
    lines = [
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"{os.cpu_count()} cores, load before: {load:.1f}; scoring with one thread",
        "",
        "| | ratio | asked for |",
        "|---|---|---|",
    ]
    for script, key, what, target in RATIOS:
        ratio = found[script]["ratios"][key]
        lines.append(f"| {what} | {ratio:.3g} | {'' if target is None else f'{target:g}'} |")
    for path in args.runs:
        scoring = run("scoring_throughput", [str(path), str(args.background), *jets])
        rates = scoring["rates"]
        lines.append(
            f"| `jetad score` with {path.name}: {rates['end to end, h5']:.0f} jets/s (HDF5), "
            f"{rates['end to end, root']:.0f} jets/s (ROOT) | | |"
        )
        for key, what, target in SCORING:
            lines.append(f"| {path.name}, {what} | {scoring['ratios'][key]:.3g} | {target:g} |")
    table = "\n".join(lines)
    print(table)
    if args.output:
        args.output.write_text(table + "\n")


def run(name: str, words: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "result.json"
        command = [sys.executable, str(HERE / f"{name}.py"), *words, "--json", str(target)]
        subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "OMP_NUM_THREADS": "1"})
        result: dict[str, Any] = json.loads(target.read_text())
        return result


if __name__ == "__main__":
    main()
