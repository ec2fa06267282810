"""Optional packages that several layers need, imported with an error that names the extra."""

from __future__ import annotations

from typing import Any

from .errors import MissingPackageError

__all__ = ["import_fastjet"]


def import_fastjet(purpose: str) -> Any:
    """The ``fastjet`` module, its banner kept off stdout.

    Raises:
        MissingPackageError: if it is not installed; says that it is needed to ``purpose``.
    """
    try:
        import fastjet
        from fastjet import _swig
    except ImportError as error:
        raise MissingPackageError(
            f"FastJet is needed to {purpose} ({error}); install it with: pip install 'jetad[simulate]'"
        ) from error
    # the banner goes to stdout at the first clustering; we name and cite FastJet in the file and the docs
    _swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet
