"""Writes the table of faults in docs/faults.md from the catalogue and from the tests that name its numbers.

python docs/write_faults.py           rewrite what is written by machine
python docs/write_faults.py --check   say whether it is in step (exit 1 if not)
python docs/write_faults.py --print   the table on stdout, with the number of tests of each fault
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.lab.faults import FAULTS, Fault

PROJECT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).resolve().parent / "faults.md"
BLOCK = re.compile(r"(<!-- written: faults -->\n).*?(<!-- end -->)", re.DOTALL)
MARKER = "mark.fault("

# The tests of each fault: their file, counted from the project, and their name.
Tests = Mapping[int, Sequence[tuple[str, str]]]


def marked() -> Tests:
    """Which tests name which fault, read from their source: no test is imported for it."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted((PROJECT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if MARKER not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                for number in _numbers(node):
                    found[number].append((path.relative_to(PROJECT).as_posix(), node.name))
    return found


def _numbers(node: ast.FunctionDef) -> Iterator[int]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.fault"):
            yield from map(ast.literal_eval, decorator.args)


def written(text: str) -> str:
    """The page with its table as it should be."""
    return BLOCK.sub(lambda match: f"{match[1]}{table(marked())}\n{match[2]}", text)


def table(tests: Tests) -> str:
    """All faults, those of one theme together."""
    lines = [
        "| | fault | what holds after it | tests, or why there is none |",
        "|---|---|---|---|",
        *(_row(fault, tests.get(fault.number, ())) for fault in FAULTS),
    ]
    return "\n".join(lines)


def _row(fault: Fault, tests: Sequence[tuple[str, str]]) -> str:
    by_file: dict[str, list[str]] = defaultdict(list)
    for file, name in tests:
        by_file[file].append(name.removeprefix("test_").replace("_", " "))
    shown = [f"[{Path(file).stem}](../{file}): {'; '.join(names)}" for file, names in by_file.items()]
    if fault.reason:
        shown.append(f"*{fault.reason}*")
    return f"| {fault.number} | {fault.name} | {fault.after} | {'<br>'.join(shown)} |"


def main() -> int:
    if "--print" in sys.argv[1:]:
        tests = marked()
        for fault in FAULTS:
            print(f"{fault.number:3} {len(tests.get(fault.number, ())):3} tests  {fault.name}  {fault.reason}".rstrip())
        return 0
    text = PAGE.read_text(encoding="utf-8")
    wanted = written(text)
    if "--check" in sys.argv[1:]:
        print("in step" if wanted == text else f"{PAGE.name} is out of step: run python docs/write_faults.py")
        return int(wanted != text)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
