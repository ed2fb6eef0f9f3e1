"""What the documentation says of the commands is what the commands say."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def test_the_page_of_commands_is_in_step_with_the_program() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "write_commands.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "in step\n")
