"""What we care about in the code itself: who imports whom, sizes, exact money, a repository fit for strangers."""

import ast
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import oms

PROJECT = Path(__file__).resolve().parent.parent
MODULES = sorted((PROJECT / "oms").rglob("*.py"))

# The rooms where a price, a count or a fee is computed or carried; none of them has a use for a float.
MONEY_ROOMS = ("units", "intake", "lifecycle", "compare", "risk", "money", "records", "venue/wire", "sandbox/amounts")
PURE_ROOMS = (
    "units",
    "intake",
    "lifecycle",
    "compare",
    "risk",
    "money",
    "records",
    "errors",
    "config/values",
    "config/hosts",
)
# Where float() reads seconds or the sandbox's knobs, which are never money.
MAY_READ_FLOATS = ("config/values", "sandbox/knobs", "sandbox/faults")


def name_of(module: Path) -> str:
    return module.relative_to(PROJECT / "oms").with_suffix("").as_posix()


def in_rooms(rooms: tuple[str, ...]) -> list[Path]:
    return [module for module in MODULES if any(f"{name_of(module)}/".startswith(f"{room}/") for room in rooms)]


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def nodes(module: Path) -> Iterator[ast.AST]:
    return ast.walk(tree(module))


def found(modules: list[Path], is_wrong: Callable[[ast.AST], bool], says: str) -> list[str]:
    return [
        f"{module.relative_to(PROJECT)}:{getattr(node, 'lineno', 0)} {says}"
        for module in modules
        for node in nodes(module)
        if is_wrong(node)
    ]


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports as l; sys.exit(l(no_logo=True, no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def test_imports_point_downward_and_the_pure_rooms_are_pure() -> None:
    done = lint_imports(PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("units.py", "import time", "The pure rooms know no clock"),
        ("lifecycle/states.py", "import logging", "The pure rooms know no clock"),
        ("intake/ids.py", "import oms.config.values", "Imports point downward"),
        ("venue/wire.py", "import oms.ledger.schema", "Imports point downward"),
        ("ledger/schema.py", "import oms.venue.wire", "Imports point downward"),
        ("sandbox/amounts.py", "import oms.units", "Imports point downward"),
        ("venue/wire.py", "import oms.sandbox.amounts", "The sandbox is an island"),
        ("cli/topics.py", "import sqlalchemy", "Only the ledger speaks to the database"),
        ("helpers.py", "import oms.units", "Imports point downward"),
    ],
)
def test_the_import_contract_notices_each_kind_of_trespass(tmp_path: Path, module: str, line: str, broken: str) -> None:
    shutil.copytree(PROJECT / "oms", tmp_path / "oms", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    with (tmp_path / "oms" / module).open("a", encoding="utf-8") as trespasser:
        trespasser.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert re.search(rf"{broken}.* BROKEN", done.stdout), done.stdout


def test_files_stay_under_500_lines() -> None:
    sizes = {str(module.relative_to(PROJECT)): len(module.read_text().splitlines()) for module in MODULES}
    assert {name: lines for name, lines in sizes.items() if lines >= 500} == {}


def test_functions_fit_a_screen_and_most_are_short() -> None:
    sizes = {
        f"{module.relative_to(PROJECT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in sizes.items() if lines > 70} == {}
    assert statistics.median(sizes.values()) <= 15
    assert sum(lines <= 40 for lines in sizes.values()) >= 0.9 * len(sizes)


def test_every_module_says_what_it_is_for() -> None:
    silent = [name_of(module) for module in MODULES if not ast.get_docstring(tree(module))]
    assert silent == []


def test_every_public_class_says_what_it_is() -> None:
    silent = [
        f"{name_of(module)}.{node.name}"
        for module in MODULES
        for node in tree(module).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_files_are_nouns() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "client", "store", "manager", "base"}
    assert [name_of(module) for module in MODULES if module.stem in vague] == []


def calls(node: ast.AST, *names: str) -> bool:
    """Whether the node calls one of these, by its plain or its last name."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return called in names


def speaks_of_floats(node: ast.AST) -> bool:
    """A true division, a float literal, or an annotation of float."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div)
    annotation = getattr(node, "annotation", None) if isinstance(node, ast.AnnAssign | ast.arg) else None
    annotation = node.returns if isinstance(node, ast.FunctionDef) else annotation
    names = (part.id for part in ast.walk(annotation) if isinstance(part, ast.Name)) if annotation else ()
    return "float" in names


def test_no_float_comes_near_money() -> None:
    elsewhere = [module for module in MODULES if module not in in_rooms(MAY_READ_FLOATS)]
    assert found(elsewhere, lambda node: calls(node, "float"), "calls float()") == []
    assert found(in_rooms(MONEY_ROOMS), speaks_of_floats, "divides, or speaks of float") == []


def test_the_pure_rooms_ask_neither_clock_nor_chance_nor_disk() -> None:
    asking = ("now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "input", "urandom", "getenv")
    assert found(in_rooms(PURE_ROOMS), lambda node: calls(node, *asking), "is not pure") == []


# Put together here, so that this file does not hold what it forbids.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.~$}])/(?:" + "|".join(("work", "farm", "root", "tmp")) + r")/\w",
    "a directory outside": re.escape("../" + "shared") + "|" + re.escape("/.lib" + "rary"),
    "a package registry": "py" + r"pi\.org|python" + r"hosted\.org|debian" + r"\.org",
    "a tool of its makers": "sub" + "agent|before-" + "stop",
    "unfinished work": r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b|NotImplemented" + "Error",
    "British spelling": r"\b[Cc]ancel" + r"led\b|\b[Cc]ancel" + r"ling\b",
}


def texts() -> Iterator[Path]:
    """Every text file of the repository that people wrote."""
    for directory in ("oms", "tests", "migrations", "docs", "benchmarks", "examples", ".ci"):
        yield from (path for path in (PROJECT / directory).rglob("*") if path.is_file())
    yield from (path for path in PROJECT.iterdir() if path.suffix in (".md", ".py", ".toml"))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_repository_holds_nothing_that_a_stranger_cannot_use(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    hits = [
        f"{path.relative_to(PROJECT)}:{number} {line.strip()[:80]}"
        for path in texts()
        if "__pycache__" not in path.parts and path.suffix not in (".pyc", ".so")
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert hits == []


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == oms.__version__
    assert "## [Unreleased]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
