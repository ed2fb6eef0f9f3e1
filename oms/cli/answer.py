"""stdout: the answer and nothing else, as a table, tab-separated text, json, jsonl or csv.

Lists are streamed: a million orders need the memory of one, except in a terminal's table, which shows the newest 100.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from oms.cli import terminal

if TYPE_CHECKING:
    from oms.cli.columns import Column, View

TERMINAL_ROWS = 100
MIN_TEXT_WIDTH = 20  # below it folded words cannot be read
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_CSV_SPECIAL = re.compile(r'[",\r\n]')
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
STATUS_COLOURS = {"executed": "green", "resting": "cyan", "rejected": "red", "WRONG": "red", "ok": "green"}


class AnswerLost(Exception):
    """stdout took no more: its reader went away (`reader_gone`), or the disk under it is full."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.reader_gone = isinstance(cause, BrokenPipeError)


class Answer:
    """The answer of one command: any number of `rows` of one view, then `done` with the fields beside them."""

    def __init__(self, form: str) -> None:
        self.form = form
        self._listing = False  # a json list is open
        self._listed = False
        self._finished = False

    @property
    def is_terminal_table(self) -> bool:
        """Whether a person reads this answer as it appears."""
        return self.form == "table" and terminal.is_terminal(sys.stdout)

    def rows(self, view: "View", records: Iterable[object], cap: int | None = None) -> int:
        """Write a list; return how many records a terminal's table left out because there were more than `cap`."""
        records = _begun(records)
        self._listed = True
        match self.form:
            case "json":
                self._json_rows(view.name, records)
            case "jsonl":
                for record in records:
                    write(encode(record) + b"\n")
            case "csv":
                _csv_rows(view, records)
            case _ if self.is_terminal_table:
                return _terminal_rows(view, records, cap)
            case _:
                _tab_rows(view, records)
        return 0

    def done(self, fields: Mapping[str, Any], shown: Mapping[str, Any] | None = None) -> None:
        """Write what stands beside the list, or the whole answer where there is none.

        `shown` is what a table says of it; nothing when it is None and a list was written.
        """
        self._finished = True
        if self.form == "json":
            self._json_object(fields)
        elif self._listed:
            return
        elif self.form == "jsonl":
            write(encode(dict(fields)) + b"\n")
        elif self.form == "csv":
            _csv_object(fields)
        else:
            self._pairs(fields if shown is None else shown)

    def fail(self, error: Mapping[str, Any]) -> None:
        """Say on stdout, in the json forms, that the command failed; what was streamed so far becomes whole json."""
        if self.form == "json" and not self._finished:
            self._json_object({"ok": False, "error": error})
        elif self.form == "jsonl":
            write(encode({"ok": False, "error": error}) + b"\n")
        self._finished = True

    def _json_rows(self, name: str, records: Iterable[object]) -> None:
        write(b'{"%s": [' % name.encode())
        self._listing = True
        separator = b"\n"
        for record in records:
            write(separator + encode(record))
            separator = b",\n"

    def _json_object(self, fields: Mapping[str, Any]) -> None:
        members = b",\n".join(b"%s: %s" % (encode(name), encode(value)) for name, value in fields.items())
        if self._listing:
            write(b"\n]" + (b",\n" + members if members else b"") + b"}\n")
        else:
            write(b"{" + members + b"}\n")

    def _pairs(self, pairs: Mapping[str, Any]) -> None:
        from oms.cli.columns import cell

        width = max((len(name) for name in pairs), default=0) if self.is_terminal_table else 0
        for name, value in pairs.items():
            gap = " " * (width - len(name) + 2) if width else "\t"
            write_text(f"{name}{gap}{terminal.plain(cell(value))}\n")


def _begun(records: Iterable[object]) -> Iterable[object]:
    """The same records, the first one fetched: what fails at once fails before anything was written."""
    source = iter(records)
    first = list(islice(source, 1))
    return chain(first, source)


def write(data: bytes) -> None:
    """Bytes to stdout; a stdout that was closed before we started takes nothing, silently, as for any program."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.buffer.write(data)
    except OSError as exc:
        raise AnswerLost(exc) from exc


def write_text(text: str) -> None:
    """Text to stdout in the terminal's own encoding; what it cannot show is escaped."""
    if sys.stdout is not None:
        write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def flush() -> None:
    """Hand everything over; raises AnswerLost."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as exc:
        raise AnswerLost(exc) from exc


def encode(value: object) -> bytes:
    """Compact JSON in ASCII alone: no locale, terminal or bidi control can change what it says."""
    import msgspec

    try:
        raw = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate, from a file name that is not UTF-8
        raw = b"\xff"
    if raw.isascii() and b"\x7f" not in raw:
        return raw
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=True, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode()


def _csv_rows(view: "View", records: Iterable[object]) -> None:
    from oms.cli.columns import fields_of

    names: tuple[str, ...] | None = None
    for record in records:
        fields = fields_of(record)
        if names is None:
            names = tuple(fields)
            _csv_line(names)
        _csv_line(csv_cell(fields.get(name)) for name in names)
    if names is None:
        _csv_line(view.record.__struct_fields__)


def _csv_object(fields: Mapping[str, Any]) -> None:
    _csv_line(fields)
    _csv_line(csv_cell(value) for value in fields.values())


def _csv_line(cells: Iterable[str]) -> None:
    # Not the csv module: before Python 3.13 it leaves a lone carriage return unquoted.
    line = ",".join(_csv_quoted(cell) for cell in cells)
    write(f"{line}\n".encode("utf-8", "backslashreplace"))


def _csv_quoted(cell: str) -> str:
    if _CSV_SPECIAL.search(cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def csv_cell(value: object) -> str:
    """A value for a spreadsheet: text that would be taken for a formula is quoted with a leading apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else encode(value).decode() if _is_nested(value) else str(value)
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return terminal.plain(text) if terminal.is_terminal(sys.stdout) else text


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _tab_rows(view: "View", records: Iterable[object]) -> None:
    from oms.cli.columns import fields_of

    columns = [column for column in view.columns if not column.narrow]
    write_text("\t".join(column.title for column in columns) + "\n")
    for record in records:
        fields = fields_of(record)
        write_text("\t".join(terminal.plain(column.text(fields)) for column in columns) + "\n")


def _terminal_rows(view: "View", records: Iterable[object], cap: int | None) -> int:
    source = iter(records)
    shown = list(islice(source, cap))
    _draw(view, shown)
    return sum(1 for _ in source)


def _draw(view: "View", records: list[object]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from oms.cli.columns import fields_of

    columns = [column for column in view.columns if not column.wide]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Any = "right" if column.number else "left"
        widest = _widest(column, records)
        narrowest = widest if column.whole else min(MIN_TEXT_WIDTH, widest)
        table.add_column(
            column.title.upper(), no_wrap=column.whole, overflow="fold", justify=justify, min_width=narrowest
        )
    for record in records:
        fields = fields_of(record)
        texts = [terminal.plain(column.text(fields)) for column in columns]
        # Text, never markup: a title such as "[red]" is a title.
        table.add_row(*(Text(text, style=STATUS_COLOURS.get(text.split(",")[0], "")) for text in texts))
    colour = terminal.wants_colour(sys.stdout)
    console = Console(
        file=sys.stdout, highlight=False, force_terminal=colour, color_system="standard" if colour else None
    )
    # Ids stay whole: where a terminal is too narrow for them, it wraps the line itself.
    unlimited = console.options.update_width(100_000)
    console.width = max(console.width, console.measure(table, options=unlimited).minimum)
    console.print(table, crop=False)


def _widest(column: "Column", records: list[object]) -> int:
    from oms.cli.columns import fields_of

    texts = (terminal.plain(column.text(fields_of(record))) for record in records)
    return max([len(column.title), *map(len, texts)])
