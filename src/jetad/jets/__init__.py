"""Jets: the collection everything starts from, with its cuts, its kinematics and what can be made into it."""

from .collection import Jets
from .convert import Adapted, as_jets
from .selection import CutFlow, Selection

__all__ = ["Jets", "CutFlow", "Selection", "as_jets", "Adapted"]
