"""Optional packages, imported with an error that names the extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import MissingPackageError

__all__ = ["import_fastjet", "needing"]


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Say what to install where an import inside fails.

    Arguments:
        extra: Of jetad, such as ``parquet``.
        what: Which package is needed for what.

    Raises:
        MissingPackageError: instead of the ImportError.
    """
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(
            f"{what} ({error}); install it with: pip install 'jetad[{extra}]'"
        ) from error


def import_fastjet(purpose: str) -> Any:
    """The ``fastjet`` module, its banner kept off stdout.

    Raises:
        MissingPackageError: if it is not installed; says that it is needed to ``purpose``.
    """
    with needing("simulate", f"FastJet is needed to {purpose}"):
        import fastjet
        from fastjet import _swig
    # the banner goes to stdout at the first clustering; we name and cite FastJet in the file and the docs
    _swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet
