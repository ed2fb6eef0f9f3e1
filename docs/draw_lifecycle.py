"""Draws the pictures and tables of docs/lifecycle.md from the program's own transition tables.

python docs/draw_lifecycle.py           rewrite what is drawn
python docs/draw_lifecycle.py --check   say whether it is in step (exit 1 if not)
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oms.lifecycle import events as e
from oms.lifecycle.states import UNFINISHED, CommandKind, CommandState, OrderStatus
from oms.lifecycle.table import ORDER_TABLE, rule_of

PAGE = Path(__file__).resolve().parent / "lifecycle.md"
BLOCK = re.compile(r"(<!-- drawn: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_AFTER_WAITING = "1"  # marks: while another attempt has no definite outcome
_OTHERWISE = "2"  # marks: the other end that a row has, explained under the picture


def drawn(text: str) -> str:
    """The page with every drawn block as it should be."""
    return BLOCK.sub(lambda match: match[1] + "\n".join(_BLOCKS[match[2]]()) + "\n" + match[3], text)


def _arrows(kind: CommandKind) -> dict[tuple[CommandState, CommandState], list[str]]:
    """What leads from each state to each other one, in the tables' order."""
    arrows: dict[tuple[CommandState, CommandState], list[str]] = {}
    for state in CommandState:
        for event in e.ALL_EVENTS:
            rule = rule_of(kind, state, event)
            if rule is None:
                continue
            word = _word(event)
            late = " (late)" if rule.late else ""
            ends = [(rule.next, word + late)]
            if rule.next_if_live not in (None, rule.next):
                ends.append((rule.next_if_live, f"{word} [{_AFTER_WAITING}]"))
            if rule.otherwise is not None:
                ends.append((rule.otherwise, f"{word} [{_OTHERWISE}]"))
            for end, label in ends:
                if end is not state:
                    arrows.setdefault((state, end), []).append(label)
    return arrows


def _word(event: type[e.Event]) -> str:
    return str(event.__struct_config__.tag).replace("_", " ")


def _command_picture(kind: CommandKind) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> queued: recorded"
    for (before, after), labels in _arrows(kind).items():
        yield f"    {before} --> {after}: {', '.join(labels)}"
    yield "    classDef doubt stroke-dasharray: 5 5"
    yield "    class on_wire, in_doubt, parked doubt"
    yield "```"


def _command_rows(kind: CommandKind) -> Iterator[str]:
    """One row an event, one column a state; a state where it leads, a dot where it changes nothing, else blank."""
    yield f"| event | {' | '.join(CommandState)} |"
    yield "|---|" + "---|" * len(CommandState)
    for event in e.ALL_EVENTS:
        if event is e.Recorded:
            continue
        cells = [_cell(kind, state, event) for state in CommandState]
        if any(cell.strip("·") for cell in cells):
            yield f"| {_word(event)} | {' | '.join(cells)} |"


def _cell(kind: CommandKind, state: CommandState, event: type[e.Event]) -> str:
    rule = rule_of(kind, state, event)
    if rule is None:
        return "" if event in e.DECISIONS else "·"
    text = str(rule.next)
    if rule.next_if_live not in (None, rule.next):
        text += f", {rule.next_if_live} [{_AFTER_WAITING}]"
    if rule.otherwise is not None:
        text += f", {rule.otherwise} [{_OTHERWISE}]"
    return text + (" (late)" if rule.late else "")


def _order_picture() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> pending: recorded"
    for before, ends in ORDER_TABLE.items():
        for after in OrderStatus:
            if after in ends:
                is_late = before in (OrderStatus.REJECTED, OrderStatus.UNSENT)
                yield f"    {before} --> {after}" + (": late" if is_late else "")
    yield "```"


def _unfinished() -> Iterator[str]:
    yield f"Unfinished, so that a run has something to do about them: {', '.join(f'`{s}`' for s in UNFINISHED)}."


_BLOCKS = {
    "create": lambda: _command_picture(CommandKind.CREATE),
    "create-rows": lambda: _command_rows(CommandKind.CREATE),
    "cancel": lambda: _command_picture(CommandKind.CANCEL),
    "cancel-rows": lambda: _command_rows(CommandKind.CANCEL),
    "amend-rows": lambda: _command_rows(CommandKind.AMEND),
    "decrease-rows": lambda: _command_rows(CommandKind.DECREASE),
    "order": _order_picture,
    "unfinished": _unfinished,
}


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = drawn(text)
    if "--check" in sys.argv[1:]:
        print("in step" if wanted == text else f"{PAGE.name} is out of step: run python docs/draw_lifecycle.py")
        return int(wanted != text)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
