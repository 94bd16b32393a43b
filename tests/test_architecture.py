"""The rules of the house, checked on the source: import direction, pure core, one clock, mirrored tests, size."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tui_trader"
FILES = sorted(PACKAGE.rglob("*.py"))

ALLOWED: dict[str, set[str]] = {
    "core": {"core"},
    "strategies": {"core", "strategies"},
    "venues": {"core", "venues"},
    "exchange": {"core", "exchange"},
    "store": {"core", "store"},
    "runtime": {"core", "strategies", "venues", "exchange", "store", "runtime"},
    "research": {"core", "strategies", "venues", "exchange", "store", "research"},
    "drill": {"core", "strategies", "venues", "exchange", "store", "runtime", "drill"},
    "ui": {"core", "ui", "runtime.face"},
}
"""What each part may import of the others; besides, all but the core may use what stands in ``EVERYWHERE_BUT_CORE``."""
EVERYWHERE_BUT_CORE = {"clock", "errors", "private", "secret", "workers"}
TYPES_ONLY = {("runtime", "config"), ("runtime", "credentials")}
"""The session takes its settings and keys from outside; it names their types and fetches its own key."""

CORE_MODULES = {
    "__future__", "bisect", "collections", "dataclasses", "decimal", "enum", "fractions", "functools", "heapq",
    "itertools", "json", "math", "operator", "re", "statistics", "typing", "unicodedata", "msgspec", "numpy",
    "pydantic", "tui_trader",
}  # fmt: skip
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
CLOCK_NAMES = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "loop": {"time"},
}
LONG_FILES: dict[str, str] = {}
"""Longer ones, each with its reason."""
LONG_FUNCTIONS: dict[str, str] = {"core/state.py:__init__": "a plain list of all that the engine knows, one line each"}
MAX_FILE, MAX_FUNCTION = 500, 70


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def part(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports, also inside functions and TYPE_CHECKING blocks."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", [path for path in FILES if part(path) in ALLOWED], ids=name)
def test_imports_run_one_way(path: Path) -> None:
    here = part(path)
    for imported in imports(path):
        words = imported.split(".")
        if words[0] != "tui_trader" or len(words) < 2 or words[1].startswith("__"):
            continue
        target = ".".join(words[1:3]) if ".".join(words[1:3]) in ALLOWED[here] else words[1]
        fine = target in ALLOWED[here] or (target in EVERYWHERE_BUT_CORE and here != "core")
        assert fine or (here, target) in TYPES_ONLY, f"{name(path)} must not import {imported}"


@pytest.mark.parametrize("path", [path for path in FILES if part(path) == "core"], ids=name)
def test_the_core_is_pure(path: Path) -> None:
    for imported in imports(path):
        assert imported.split(".")[0] in CORE_MODULES, f"{name(path)} imports {imported}"
        assert not imported.startswith("numpy.random"), f"{name(path)} imports {imported}"
    for node in ast.walk(tree(path)):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), f"{name(path)}:{node.lineno} is asynchronous"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{name(path)}:{node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
            assert node.attr != "random", f"{name(path)}:{node.lineno} uses numpy's global randomness"


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "clock.py"], ids=name)
def test_only_the_clock_reads_the_clock(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            taken = {alias.name for alias in node.names} & CLOCK_NAMES["time"]
            assert not taken, f"{name(path)}:{node.lineno} takes {taken} from time"
        if isinstance(node, ast.Attribute):
            owner = node.value
            word = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            known = CLOCK_NAMES.get(word.lstrip("_"), set())
            called = isinstance(owner, ast.Call) and ast.unparse(owner).endswith(
                ("get_running_loop()", "get_event_loop()")
            )
            reads = node.attr in known or (called and node.attr == "time")
            assert not reads, f"{name(path)}:{node.lineno} reads a clock ({word}.{node.attr}); use tui_trader.clock"


@pytest.mark.parametrize(
    "path", [path for path in FILES if part(path) == "core" and path.name != "__init__.py"], ids=name
)
def test_every_core_module_has_its_test(path: Path) -> None:
    mirrored = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.name}"
    assert mirrored.is_file(), f"{mirrored.relative_to(ROOT)} is missing"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_stay_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE or name(path) in LONG_FILES, f"{name(path)} has {lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            key = f"{name(path)}:{node.name}"
            assert length <= MAX_FUNCTION or key in LONG_FUNCTIONS, f"{key} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_command_line_prints(path: Path) -> None:
    if path.name.startswith("cli"):
        return
    for node in ast.walk(tree(path)):
        printing = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not printing, f"{name(path)} prints; use the log, or return text to the command line"


def test_exceptions_to_the_rules_are_still_needed() -> None:
    known = {name(path) for path in FILES}
    assert all(file in known for file in LONG_FILES)
    for key in LONG_FUNCTIONS:
        file, _, function = key.partition(":")
        found = [n for n in ast.walk(tree(PACKAGE / file)) if isinstance(n, ast.FunctionDef) and n.name == function]
        assert found, f"{key} is gone; remove it from the list"
        assert (found[0].end_lineno or 0) - found[0].lineno + 1 > MAX_FUNCTION
