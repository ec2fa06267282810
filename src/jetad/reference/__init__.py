"""Published sets of jets that others compare with, and their download."""

from .catalogue import SETS, ReferenceFile, ReferenceSet
from .download import fetch

__all__ = ["SETS", "ReferenceFile", "ReferenceSet", "fetch"]
