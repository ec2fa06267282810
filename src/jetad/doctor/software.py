"""Python, its packages, and what they can use."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from .findings import GB, Finding, first_line, output

__all__ = ["device", "extras", "named_run", "remote_files", "torch_itself", "versions"]


def versions() -> Iterator[Finding]:
    """jetad, Python and the packages that it needs."""
    python = sys.version.split()[0]
    yield Finding("jetad", "ok", f"{__version__}, Python {python}, {sys.prefix}")
    broken = []
    for name in (
        "numpy",
        "scipy",
        "h5py",
        "awkward",
        "uproot",
        "sklearn",
        "matplotlib",
        "pydantic",
        "safetensors",
    ):
        try:
            importlib.import_module(name)
        except Exception as error:
            broken.append(f"{name} ({first_line(error)})")
    if broken:
        yield Finding(
            "packages",
            "fail",
            f"cannot be imported: {', '.join(broken)}",
            "pip install --force-reinstall jetad",
        )


def torch_itself() -> Iterator[Finding]:
    """Whether torch can be loaded, and computes."""
    try:
        import torch

        float(torch.ones(8, 8).matmul(torch.ones(8, 8)).sum())
    except Exception as error:
        yield Finding(
            "torch", "fail", f"does not work: {first_line(error)}", "pip install --force-reinstall torch"
        )
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    yield Finding("torch", "ok", f"{torch.__version__} ({build})")


def device() -> Iterator[Finding]:
    """The GPU, if there is one."""
    try:
        import torch
    except Exception:
        return
    driver = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    if torch.cuda.is_available():
        try:
            x = torch.ones(64, 64, device="cuda")
            float((x @ x).sum())
            free, total = torch.cuda.mem_get_info()
        except RuntimeError as error:
            yield Finding(
                "device", "fail", f"the GPU does not compute: {first_line(error)}",
                "use --device cpu, or a torch build for this GPU and driver",
            )  # fmt: skip
            return
        card = driver or torch.cuda.get_device_name()
        yield Finding("device", "ok", f"cuda: {card}; {free / GB:.1f} of {total / GB:.1f} GB free")
    elif driver:
        why = (
            "torch is a CPU build" if torch.version.cuda is None else f"torch wants CUDA {torch.version.cuda}"
        )
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = f"CUDA_VISIBLE_DEVICES is '{hidden}'" if hidden is not None else why
        yield Finding(
            "device", "warn", f"cpu, though there is a GPU ({driver}): {why}",
            "install a CUDA build of torch that this driver supports",
        )  # fmt: skip
    else:
        yield Finding("device", "ok", "cpu (no NVIDIA GPU found)")


def remote_files() -> Iterator[Finding]:
    """XRootD, for ``root://`` inputs."""
    try:
        importlib.metadata.version("fsspec-xrootd")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("XRootD", "ok", "not installed; root:// inputs need pip install 'jetad[xrootd]'")
        return
    try:
        import fsspec_xrootd
        from XRootD import client
    except Exception as error:
        yield Finding(
            "XRootD", "warn", f"does not work: {first_line(error)}", "install xrootd (conda-forge has it)"
        )
        return
    yield Finding("XRootD", "ok", f"{client.__name__} with {fsspec_xrootd.__name__}")


def extras() -> Iterator[Finding]:
    """Optional packages."""
    try:
        requirements = importlib.metadata.requires("jetad") or []
    except importlib.metadata.PackageNotFoundError:
        return
    needed: dict[str, list[str]] = {}
    for text in requirements:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", text)
        name = re.match(r"[\w.-]+", text)
        if extra and name and name[0] != "jetad":
            needed.setdefault(extra[1], []).append(name[0])
    have: list[str] = []
    lacking: list[str] = []
    for extra_name, names in sorted(needed.items()):
        (have if all(map(_installed, names)) else lacking).append(extra_name)
    found = f"{', '.join(have) or 'none'} installed; {', '.join(lacking) or 'none'} not"
    yield Finding("extras", "ok", found)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def named_run() -> Iterator[Finding]:
    """The run that JETAD_RUN names."""
    named = os.environ.get("JETAD_RUN")
    if named and not (Path(named) / "config.yaml").is_file():
        yield Finding("JETAD_RUN", "fail", f"{named}: is no run directory", "unset JETAD_RUN, or correct it")
    elif named:
        yield Finding("JETAD_RUN", "ok", named)
