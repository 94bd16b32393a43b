"""The table of the fault matrix is whole: each clause has its tests, each test and scenario stands in it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.matrix.rows import MATRIX, Clause
from tui_trader.drill.scenarios import MATRIX as SCENARIO_ROWS

TESTS = Path(__file__).resolve().parents[1]


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _rows_here() -> dict[str, set[str]]:
    """The names of the tests of each file of rows in this folder."""
    files = sorted(TESTS.glob("matrix/test_*.py"))
    others = ("test_attacks.py", "test_rows.py", "test_mutations.py", "test_sockets.py")
    return {f"matrix/{path.name}": _functions(path) for path in files if path.name not in others}


@pytest.mark.parametrize("clause", MATRIX, ids=lambda c: f"{c.section}: {c.fault}")
def test_a_clause_has_its_tests(clause: Clause) -> None:
    assert clause.tests
    for name in clause.tests:
        file, _, function = name.partition("::")
        assert (TESTS / file).is_file(), f"{file} is not there"
        assert function in _functions(TESTS / file), f"{name} is not there"


def test_the_table_is_whole() -> None:
    assert len(MATRIX) >= 60
    listed = Counter(name for clause in MATRIX for name in clause.tests)
    assert not [name for name, count in listed.items() if count > 1], "a test stands for one clause"
    for file, functions in _rows_here().items():
        tests = {f"{file}::{name}" for name in functions if name.startswith("test_")}
        assert tests <= set(listed), f"not in the table: {sorted(tests - set(listed))}"


def test_each_scenario_of_the_matrix_is_played() -> None:
    words = " ".join(path.read_text() for path in TESTS.glob("matrix/test_*.py"))
    missing = [name for name in SCENARIO_ROWS if f'"{name}"' not in words]
    assert not missing
