"""Writes the help texts, topics and fields in docs/commands.md from the program itself.

python docs/write_commands.py           rewrite what is written by machine
python docs/write_commands.py --check   say whether it is in step (exit 1 if not)
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import click

from oms.cli.root import COMMANDS, root
from oms.cli.topics import TOPICS

PAGE = Path(__file__).resolve().parent / "commands.md"
BLOCK = re.compile(r"(<!-- written: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = 100
SHARED = "  --config FILE"


def written(text: str) -> str:
    """The page with every block of the machine's as it should be."""
    return BLOCK.sub(lambda match: f"{match[1]}{_block(match[2])}\n{match[3]}", text)


def _block(name: str) -> str:
    if name.startswith("topic-"):
        return f"```text\n{TOPICS[name.removeprefix('topic-')]}```"
    if name == "oms":
        return f"```text\n{_help(root, ())}\n```"
    return "\n\n".join(_commands())


def _commands() -> Iterator[str]:
    context = click.Context(root, info_name="oms")
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        yield f"### oms {name}\n\n```text\n{_help(command, (name,))}\n```"
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                yield f"```text\n{_help(command.commands[inner], (name, inner))}\n```"


def _help(command: click.Command, path: tuple[str, ...]) -> str:
    """The help text; below `oms` itself without the shared options, which are the same everywhere."""
    context = click.Context(root, info_name="oms", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    for name in path:
        assert isinstance(context.command, click.Group)
        found = context.command.get_command(context, name)
        assert found is not None
        context = click.Context(found, parent=context, info_name=name, terminal_width=WIDTH)
    text = command.get_help(context)
    if not path:
        return text
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(SHARED))
    last = next(number for number, line in enumerate(lines) if "--help" in line)
    return "\n".join([*lines[:first], "  ... and the shared ones", *lines[last + 1 :]])


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = written(text)
    if "--check" in sys.argv[1:]:
        print("in step" if wanted == text else f"{PAGE.name} is out of step: run python docs/write_commands.py")
        return int(wanted != text)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
