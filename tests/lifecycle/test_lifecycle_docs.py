"""docs/lifecycle.md shows what the program does."""

import subprocess
import sys
from pathlib import Path

from oms.lifecycle.states import CommandState, OrderStatus

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "lifecycle.md"


def test_the_pictures_are_drawn_from_the_tables() -> None:
    run = subprocess.run(
        [sys.executable, str(DOCS / "draw_lifecycle.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_state_and_status_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for word in (*CommandState, *OrderStatus):
        assert f"\n| `{word}` | " in text, word
