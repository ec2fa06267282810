"""Selections such as ``jet_pt > 500 & abs(jet_eta) < 2``, and the cut flow they leave."""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, InputError
from ..registry import closest_first
from .collection import Jets

__all__ = ["CutFlow", "Selection", "Step"]

#: what every jet has, besides the columns of its file
_OF_THE_JET = (
    "jet_pt",
    "jet_eta",
    "jet_phi",
    "jet_mass",
    "n_constituents",
    "label",
    "weight",
    "entry",
    "position",
)

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "isfinite": np.isfinite,
    "min": np.minimum,
    "max": np.maximum,
}
_BINARY: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[..., Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_MAX_LENGTH, _MAX_NODES = 5000, 500


class Step(NamedTuple):
    """Jets left after one cut."""

    cut: str
    n_jets: int
    sum_of_weights: float


@dataclasses.dataclass
class CutFlow:
    """Jets before and after every cut, summed over all pieces that a selection has seen."""

    cuts: tuple[str, ...]
    counts: list[int] = dataclasses.field(default_factory=list)
    weights: list[float] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.cuts) + 1)
        self.weights = self.weights or [0.0] * (len(self.cuts) + 1)

    @property
    def steps(self) -> list[Step]:
        """``all jets`` and then every cut in order."""
        return [Step(*row) for row in zip(("all jets", *self.cuts), self.counts, self.weights, strict=True)]

    @property
    def n_selected_out(self) -> int:
        return self.counts[0] - self.counts[-1]

    def __str__(self) -> str:
        width = max(len(step.cut) for step in self.steps)
        first, lines = self.steps[0], []
        for cut, n, w in self.steps:
            fraction = f"{100 * n / first.n_jets:.2f}%" if first.n_jets else "-"
            lines.append(f"{cut:<{width}}  {n:>10}  {fraction:>8}  {w:>12.6g}")
        return "\n".join([f"{'cut':<{width}}  {'jets':>10}  {'':>8}  {'sum w':>12}", *lines])


class Selection:
    """Cuts on jets, from text; only arithmetic, comparisons and a few functions, nothing is executed.

    ``&``, ``and`` and ``&&`` join cuts, ``|``, ``or`` and ``||`` are alternatives, ``!`` and ``not`` turn a
    cut round; ``&`` and ``|`` bind less than comparisons, as in ROOT, so that parentheses are not needed.
    Names are ``jet_pt, jet_eta, jet_phi, jet_mass`` [GeV, rad], ``n_constituents``, ``label``, ``weight``
    and the columns of the file. A comparison with NaN fails the cut.

    Arguments:
        text: The cuts.

    Raises:
        ConfigError: for anything but that, with the place.

    Example:
        >>> jets = Jets.from_lists([[(50.0, 0.0, 0.0, 0.0)], [(20.0, 3.0, 1.0, 0.0)]])
        >>> selection = Selection("jet_pt > 10 & abs(jet_eta) < 2")
        >>> len(selection(jets)), selection.flow.counts
        (1, [2, 2, 1])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        words = _root_operators(text)
        try:
            if len(words) > _MAX_LENGTH:
                raise ConfigError(f"--select: the expression is longer than {_MAX_LENGTH} characters")
            body = ast.parse(words.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if "integer string conversion" in str(error):
                raise ConfigError(
                    "--select: a number has thousands of digits; write 1e30 for large ones"
                ) from error
            where = (
                f" near '{words[max((error.offset or 1) - 1, 0) :][:20]}'"
                if isinstance(error, SyntaxError)
                else ""
            )
            raise ConfigError(
                f"--select '{_cut(text)}': is no selection{where}; "
                "write for example 'jet_pt > 500 & abs(jet_eta) < 2'"
            ) from error
        if sum(1 for _ in ast.walk(body)) > _MAX_NODES:
            raise ConfigError(f"--select: the expression has more than {_MAX_NODES} parts")
        _refuse_bits(body, text)
        self._cuts = body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]
        for cut in self._cuts:
            self._check(cut)
        self.names = sorted({n.id for n in ast.walk(body) if isinstance(n, ast.Name)} - set(_FUNCTIONS))
        self.flow = CutFlow(tuple(ast.unparse(cut) for cut in self._cuts))

    def __repr__(self) -> str:
        return f"Selection({self.text!r})"

    def __call__(self, jets: Jets, where: str = "the jets") -> Jets:
        """The jets that pass, in order; the cut flow goes on.

        Raises:
            InputError: if a column is not there; ``where`` names the file in it.
        """
        return jets[self.mask(jets, where)]

    def mask(self, jets: Jets, where: str = "the jets") -> NDArray[np.bool_]:
        """Which jets pass, ``(n_jets,)``; the cut flow goes on."""
        values = {name: _column(jets, name, where) for name in self.names}
        weights = np.ones(len(jets)) if jets.weights is None else jets.weights
        passed = np.ones(len(jets), dtype=bool)
        self._count(0, passed, weights)
        for i, cut in enumerate(self._cuts):
            with np.errstate(all="ignore"):
                result = np.asarray(_value(cut, values))
            if result.dtype.kind == "f":
                result = np.isfinite(result) & (result != 0)
            passed &= np.broadcast_to(result.astype(bool), passed.shape)
            self._count(i + 1, passed, weights)
        return passed

    def _count(self, i: int, passed: NDArray[np.bool_], weights: NDArray[np.float64]) -> None:
        self.flow.counts[i] += int(passed.sum())
        self.flow.weights[i] += float(np.nansum(weights[passed]))

    def _check(self, node: ast.AST) -> None:
        """Raise ConfigError for whatever is not arithmetic on columns."""
        fine: bool
        if isinstance(node, ast.Name) and node.id in _FUNCTIONS:
            raise ConfigError(
                f"--select '{_cut(self.text)}': '{node.id}' is a function and takes a value, such as "
                f"{node.id}(jet_eta)"
            )
        if isinstance(node, ast.BinOp):
            fine = type(node.op) in _BINARY
        elif isinstance(node, ast.Compare):
            fine = all(type(op) in _COMPARE for op in node.ops)
        elif isinstance(node, ast.UnaryOp):
            fine = isinstance(node.op, (ast.USub, ast.UAdd, ast.Not))
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            n_arguments = 2 if name in ("min", "max") else 1
            if name not in _FUNCTIONS or node.keywords or len(node.args) != n_arguments:
                raise ConfigError(
                    f"--select '{_cut(self.text)}': '{_cut(ast.unparse(node))}' is not known; functions are "
                    f"{', '.join(_FUNCTIONS)}"
                )
            for argument in node.args:
                self._check(argument)
            return
        elif isinstance(node, ast.Constant):
            fine = isinstance(node.value, (int, float)) and abs(node.value) < 1e300
        else:
            fine = isinstance(node, (ast.Name, ast.BoolOp))
        if not fine:
            raise ConfigError(
                f"--select '{_cut(self.text)}': '{_cut(ast.unparse(node))}' is not allowed; use numbers, "
                "columns, + - * / **, comparisons, & | ! and functions"
            )
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._check(child)


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _refuse_bits(body: ast.expr, text: str) -> None:
    """``jetId & 2`` would mean `jetId is not zero`: & and | join cuts here and test no bits."""
    inside = [n for n in ast.walk(body) if not isinstance(n, ast.BoolOp)]
    joined = [v for n in ast.walk(body) if isinstance(n, ast.BoolOp) for v in n.values]
    # the operands of `not` are cuts, everything else takes numbers
    numbers = [n for n in inside if not (isinstance(n, ast.UnaryOp) and isinstance(n.op, ast.Not))]
    bits: list[ast.AST] = [v for v in joined if isinstance(v, (ast.Constant, ast.BinOp))]
    bits += [c for n in numbers for c in ast.iter_child_nodes(n) if isinstance(c, ast.BoolOp)]
    if bits:
        raise ConfigError(
            f"--select '{_cut(text)}': & and | join cuts and cannot test bits; write 'jetId % 4 >= 2' for "
            "the bit 2 of jetId, and comparisons on both sides of & and |"
        )


def _root_operators(text: str) -> str:
    """``&``, ``|``, ``!`` of ROOT as Python's ``and``, ``or``, ``not``."""
    words = text.replace("&&", "&").replace("||", "|").replace("&", " and ").replace("|", " or ")
    words = words.replace("!=", "\0").replace("!", " not ").replace("\0", "!=")
    return " ".join(words.split())


def _column(jets: Jets, name: str, where: str) -> NDArray[Any]:
    # the jet's own quantities win: a file's column of such a name carries the suffix `_file`
    if name in ("jet_pt", "jet_eta", "jet_phi", "jet_mass", "n_constituents", "entry", "position"):
        values: NDArray[Any] = getattr(jets, name)
    elif name in jets.observables:
        values = jets.observables[name]
    elif name == "label":
        values = np.full(len(jets), -1) if jets.labels is None else jets.labels
    elif name == "weight":
        values = np.ones(len(jets)) if jets.weights is None else jets.weights
    else:
        closest = ", ".join(closest_first(name, [*_OF_THE_JET, *jets.observables])[:6])
        raise InputError(f"{where}: no column '{name}' to select on; closest: {closest}")
    # float64: integers of a file would wrap around
    return values.astype(np.float64) if values.dtype.kind in "fiu" else values


def _value(node: ast.AST, columns: dict[str, NDArray[Any]]) -> Any:
    if isinstance(node, ast.Name):
        return columns[node.id]
    if isinstance(node, ast.Constant):
        return np.float64(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_number(node.left, columns), _number(node.right, columns))
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not):
            return ~np.asarray(_value(node.operand, columns), dtype=bool)
        value = _number(node.operand, columns)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Call):
        return _FUNCTIONS[node.func.id](*(_number(a, columns) for a in node.args))  # type: ignore[attr-defined]
    if isinstance(node, ast.BoolOp):
        parts = [np.asarray(_value(v, columns), dtype=bool) for v in node.values]
        joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        result = parts[0]
        for part in parts[1:]:
            result = joined(result, part)
        return result
    assert isinstance(node, ast.Compare)
    left, passed = _value(node.left, columns), np.True_
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = _value(right_node, columns)
        passed = passed & _COMPARE[type(op)](left, right)
        left = right
    return passed


def _number(node: ast.AST, columns: dict[str, NDArray[Any]]) -> Any:
    """A value to compute with: a cut that is met counts as 1, as in ROOT."""
    value = np.asarray(_value(node, columns))
    return value.astype(np.float64) if value.dtype.kind == "b" else value
