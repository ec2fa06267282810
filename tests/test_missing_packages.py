"""Without an optional package, the error names the extra to install."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from jetad.errors import MissingPackageError
from jetad.export.onnxfile import _packages
from jetad.extras import import_fastjet
from jetad.production.executors.dask import DaskCluster
from jetad.readers.containers.parquet import open_parquet
from jetad.scores import Scores
from jetad.simulation.generator import import_pythia
from jetad.spectra import Histogram


def read_parquet():
    with open_parquet(Path("x.parquet")):
        pass


@pytest.mark.parametrize(
    ("package", "use", "message"),
    [
        ("fastjet", lambda: import_fastjet("cluster"), "FastJet is needed to cluster (", ),
        ("pythia8mc", import_pythia, "Pythia 8 is needed to simulate jets ("),
        ("pyarrow", read_parquet, "x.parquet: Parquet needs pyarrow ("),
        ("pyarrow", lambda: Scores(score=[1.0]).save("a.parquet"), "Parquet score files need pyarrow ("),
        ("onnxruntime", _packages, "export needs onnx and onnxruntime ("),
        ("hist", lambda: Histogram.of([1.0], None, [0, 2]).to_hist(), "histograms for other tools need "),
        ("distributed", lambda: DaskCluster("x", [], threads=1, device="cpu"), "--dask needs dask."),
    ],
)  # fmt: skip
def test_the_error_names_the_extra(package, use, message, monkeypatch, tmp_path):
    extra = {"fastjet": "simulate", "pythia8mc": "simulate", "pyarrow": "parquet", "onnxruntime": "export"}
    extra["hist"] = "stats"
    monkeypatch.chdir(tmp_path)
    for name in [package, *(n for n in sys.modules if n.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    end = f"install it with: pip install 'jetad[{extra.get(package, 'dask')}]'"
    with pytest.raises(MissingPackageError, match=f"^{re.escape(message)}.*{re.escape(end)}$"):
        use()
