"""The documentation against the code and against itself: records, calls, links."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from oms import compare, records
from oms.lifecycle.states import Reason

PROJECT = Path(__file__).resolve().parent.parent
RECORDS = (PROJECT / "docs" / "records.md").read_text(encoding="utf-8")
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("examples/**/*.md")])
ELSEWHERE = ("http://", "https://", "mailto:")


def table_after(mark: str) -> list[list[str]]:
    """The cells of the rows of the first table after a mark, without its head."""
    _, found, rest = RECORDS.partition(f"<!-- {mark} -->\n")
    assert found, f"docs/records.md has no {mark}"
    lines = rest.partition("\n\n")[0].splitlines()
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def described() -> list[str]:
    return re.findall(r"<!-- fields: (\w+) -->", RECORDS)


def word_for(annotation: Any) -> str:
    """How records.md calls a type."""
    if isinstance(annotation, UnionType):
        return ", ".join([*(word_for(part) for part in get_args(annotation) if part is not NoneType), "null"])
    words = {str: "text", int: "integer", bool: "true, false"}
    if annotation in words:
        return words[annotation]
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return "object"
    return "list" if get_origin(annotation) is tuple else "object"


@pytest.mark.parametrize("name", described())
def test_the_page_of_records_has_every_field_in_order_with_its_type(name: str) -> None:
    record = getattr(records, name)
    hints = get_type_hints(record)
    wanted = [[field, word_for(hints[field])] for field in record.__struct_fields__]
    assert [row[:2] for row in table_after(f"fields: {name}")] == wanted


def test_the_page_of_records_describes_every_record() -> None:
    every = {
        name for name, value in vars(records).items() if isinstance(value, type) and issubclass(value, msgspec.Struct)
    }
    # A stop is described where it stands, and progress is for a progress line alone.
    assert set(described()) == every - {"Stop", "Progress", "Story"}
    assert "`summary` says" in RECORDS


def test_the_page_of_records_has_every_reason() -> None:
    assert [row[0] for row in table_after("reasons")] == [reason.value for reason in Reason]


def test_the_page_of_records_has_every_kind_of_break() -> None:
    source = Path(compare.__file__).read_text(encoding="utf-8")
    made = set(re.findall(r'_break\(\s*"(\w+)"', source)) | set(re.findall(r'kind="(\w+)"', source))
    assert {row[0] for row in table_after("kinds")} == made


def test_the_page_of_calls_is_in_step_with_the_program() -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "docs" / "write_calls.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "in step\n")


def links(page: Path) -> Iterator[str]:
    """Every link target of a page, outside of its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`(?!\])", "", text)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith(ELSEWHERE):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_found_from_the_index() -> None:
    index = PROJECT / "docs" / "README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert {page for page in PAGES if page.parent == index.parent} - named == {index}


def test_the_readme_lists_every_exit_code() -> None:
    from oms.cli.topics import EXIT_CODES

    told = set(re.findall(r"^\s+(\d+) ", EXIT_CODES, flags=re.MULTILINE)) | set(re.findall(r"; (\d+) by", EXIT_CODES))
    readme = (PROJECT / "README.md").read_text(encoding="utf-8").partition("| exit code |")[2]
    shown = {code for row in re.findall(r"^\| ([\d, ]+) \|", readme, flags=re.MULTILINE) for code in row.split(", ")}
    assert shown == told
