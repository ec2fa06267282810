"""Making score files: accounted for, restartable, by one or several processes; and proving them right.

The jets of a file are scored in parts of fixed length. Each finished part is a file in a hidden folder
beside the output; when all are there they are joined under the final name. A killed run therefore goes on
where it was, and its result does not depend on where that was, nor on the number of processes.
"""

from .job import check_files
from .ledger import Account, ledger_path, read_ledger
from .merging import merge_scores
from .request import Request
from .score import score_file, score_files
from .verify import Check, verify_scores

__all__ = [
    "Account",
    "Check",
    "Request",
    "check_files",
    "ledger_path",
    "merge_scores",
    "read_ledger",
    "score_file",
    "score_files",
    "verify_scores",
]
