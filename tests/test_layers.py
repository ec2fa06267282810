"""Imports point one way: from the jets at the bottom to the commands at the top."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    {"errors", "registry"},
    {"extras", "files", "kinematics", "samples", "presets", "distances", "ranks", "precision"},
    {"batches"},
    {"jets"},
    {"selection"},
    {"scores", "readers", "writers", "preprocessing", "evaluation", "adapters"},
    {"simulation", "inspection", "calibration", "plots", "hepdata", "gallery"},
    {"conditional", "device_rows"},
    {"samplers"},
    {"models"},
    {"config"},
    {"run"},
    {"scoring", "negatives", "references", "encoders", "reconstructions"},
    {"training"},
    {"production", "export"},
    {"batch", "demo", "doctor", "studies"},
    {"report"},
]
RANK = {name: i for i, names in enumerate(ORDER) for name in names}
MODULES = sorted((ROOT / "src" / "jetad").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Layers of jetad that a module imports when it is imported (not inside functions or for typing)."""
    package = path.relative_to(ROOT / "src").with_suffix("").parts
    found = set()
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            target = [*package[: -node.level], *(node.module or "").split(".")]
        else:
            target = (node.module or "").split(".")
        if target[0] == "jetad" and len(target) > 1 and target[1]:
            found.add(target[1])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_imports_point_to_lower_layers(path):
    layer = path.relative_to(ROOT / "src" / "jetad").with_suffix("").parts[0]
    if layer in ("__init__", "__main__"):
        return
    assert layer in RANK, f"give '{layer}' a place in ORDER"
    for other in imports(path) - {layer}:
        assert RANK[other] <= RANK[layer], f"{layer} imports {other}, which is above it"


def test_no_click_in_the_library_and_no_torch_in_evaluation():
    for path in MODULES:
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and not node.level
        }
        assert "click" not in names, path
        if path.relative_to(ROOT / "src" / "jetad").parts[0] in (
            "evaluation",
            "plots",
            "scores",
            "readers",
            "preprocessing",
        ):
            assert "torch" not in names, path
