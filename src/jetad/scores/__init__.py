"""Per-jet results: the columns of a score file, written in a stream and read back from any format.

Example:
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "qcd.scores.h5"
    >>> with ScoreWriter(path) as writer:
    ...     writer.append(Scores(score=[0.5, 0.25], label=[0, 0]))
    ...     writer.append(Scores(score=[0.75], label=[0], entry=[2]))
    ...     writer.finish({"method": "nae"})
    >>> scores = load_scores(path)
    >>> scores.entry.tolist(), scores.metadata["method"]
    ([0, 1, 2], 'nae')
"""

from .columns import COLUMNS, PREFIX
from .loading import load_scores
from .table import Scores
from .writing import SCORE_SUFFIXES, ScoreWriter

__all__ = ["COLUMNS", "PREFIX", "SCORE_SUFFIXES", "ScoreWriter", "Scores", "load_scores"]
