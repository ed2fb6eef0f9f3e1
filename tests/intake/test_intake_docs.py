"""The examples of docs/input.md are rows that intake takes, and its table of fields is complete."""

import re
from io import BytesIO
from pathlib import Path

from oms.intake.batches import survey
from oms.intake.dialects import KEYS
from oms.intake.readers import format_of, read_rows

PAGE = (Path(__file__).parents[2] / "docs" / "input.md").read_text(encoding="utf-8")


def test_every_example_of_the_page_is_accepted() -> None:
    examples = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for fmt, text in examples:
        found = survey(read_rows(BytesIO(text.encode()), format_of(f"x.{fmt}")))
        found.check()
        assert found.count == 2


def test_the_page_names_every_field_and_no_other() -> None:
    table = PAGE.partition("## Fields")[2].partition("\n\nBuy yes")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(KEYS)
