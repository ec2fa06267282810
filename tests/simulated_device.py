"""A simulated accelerator for tests: the device ``sim``, which meets code as a GPU does.

Its tensors are refused among those of the CPU, it has its own generators, and it counts how often the host
waits for it. The CPU computes for it, so that its numbers are those of the CPU.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils import cpp_extension

__all__ = ["NAME", "build", "register", "waits"]

NAME = "sim"
_SOURCE = Path(__file__).with_suffix(".cpp")


def build(folder: Path) -> Path:
    """Compile the device into a library in ``folder``; takes half a minute."""
    library = folder / "simulated_device.so"
    paths = [f"-I{path}" for path in cpp_extension.include_paths()]
    where = Path(torch.__file__).parent / "lib"
    command = [
        "g++", "-std=c++20", "-O0", "-shared", "-fPIC",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}", *paths,
        str(_SOURCE), "-o", str(library),
        f"-L{where}", f"-Wl,-rpath,{where}", "-ltorch", "-ltorch_cpu", "-lc10",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


class _Module:
    """What torch asks of the Python module of a device."""

    is_available = is_initialized = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    manual_seed_all = staticmethod(lambda seed: None)


def register(library: str) -> torch.device:
    """Load the library into this process; once, before the first gradient is computed."""
    if not hasattr(torch, NAME):
        torch.ops.load_library(library)
        torch.utils.rename_privateuse1_backend(NAME)
        torch._register_device_module(NAME, _Module)
        torch.utils.generate_methods_for_privateuse1_backend()
    return torch.device(NAME, 0)


@contextmanager
def waits() -> Iterator[list[int]]:
    """Counts how often the host waits for the device inside; the list holds the number afterwards."""
    counted: list[int] = []
    before = torch.ops.simulated_device.waits()
    yield counted
    counted.append(torch.ops.simulated_device.waits() - before)
