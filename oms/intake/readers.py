"""Files and streams to rows, one at a time. PURE but for reading the binary stream it is given.

Every row comes with the physical line on which it starts. What cannot be a row comes as its problems instead, and
reading goes on where that makes sense, so that a person sees everything that is wrong at once. Memory is flat for CSV
and JSON lines (a line is at most 64 kB); a JSON document is read whole and limited to 64 MB.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import BinaryIO, TypeAlias

from oms.errors import InputError, Problem
from oms.intake.dialects import KEYS, PRICE_KEYS, unknown_key
from oms.intake.fields import Number
from oms.intake.intents import Intent
from oms.intake.wording import clipped, shown

__all__ = ["Format", "Row", "format_of", "object_rows", "read_rows", "sniff"]

MAX_LINE = 64 * 1024
MAX_DOCUMENT = 64 * 1024 * 1024
MAX_RECORD_LINES = 100  # how far the end of a quoted CSV field is looked for

Row: TypeAlias = tuple[int | None, Mapping[str, object] | Intent | tuple[Problem, ...]]
"""A line number (from 1; None for flags) with the row that starts there, the intent it is, or what is wrong there."""

_Line: TypeAlias = tuple[int, str | Problem]
_BOM = b"\xef\xbb\xbf"


class Format(StrEnum):
    """How rows are written down."""

    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"


def format_of(name: str) -> Format:
    """The format that a file's name says. Raises InputError for any other ending."""
    suffix = name.lower().rpartition(".")[2]
    if "." not in name or suffix not in set(Format):
        raise InputError(
            f"{clipped(name)} is not a file of orders by its name",
            hint="name it .csv, .jsonl (one object per line) or .json, or give it on standard input with -",
        )
    return Format(suffix)


def sniff(stream: BinaryIO) -> Format:
    """The format of a seekable stream without a name, by its first characters; the position is left unchanged.

    `[` opens a JSON document; so does `{` alone on its line or before "orders"; any other `{` is JSON lines; everything
    else is CSV, whose header says what it is.
    """
    start = stream.tell()
    head = stream.read(4096).removeprefix(_BOM).lstrip(b" \t\r\n")
    stream.seek(start)
    if head.startswith(b"[") or re.match(rb'\{[ \t\r]*(\n|\s*"orders"\s*:)', head):
        return Format.JSON
    return Format.JSONL if head.startswith(b"{") else Format.CSV


def read_rows(stream: BinaryIO, fmt: Format) -> Iterator[Row]:
    """The rows of a binary stream in order, each with its physical line, bad ones as their problems.

    Raises nothing on any content (OSError of the stream passes).
    """
    return {Format.CSV: _csv_rows, Format.JSONL: _jsonl_rows, Format.JSON: _document_rows}[fmt](stream)


def object_rows(orders: Iterable[object]) -> Iterator[Row]:
    """The rows of the Python API: mappings or dataclass instances, numbered from 1."""
    for number, order in enumerate(orders, 1):
        if isinstance(order, Mapping):
            yield number, order
        elif is_dataclass(order) and not isinstance(order, type):
            yield number, {field.name: getattr(order, field.name) for field in fields(order)}
        else:
            reason = f"is of type {type(order).__name__}: an order is a mapping or a dataclass"
            yield number, (Problem(number, "", reason),)


def _lines(stream: BinaryIO) -> Iterator[_Line]:
    """Physical lines without their ends, numbered from 1; one that is too long or not UTF-8 as its problem."""
    number = 0
    while raw := stream.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            raw = raw.removeprefix(_BOM)
        if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_LINE)
            yield number, Problem(number, "", f"the line is longer than {MAX_LINE // 1024} kB")
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError as exc:
            yield number, _not_utf8(number, raw, exc)
            continue
        yield number, text.rstrip("\r\n")


def _not_utf8(line: int, raw: bytes, error: UnicodeDecodeError) -> Problem:
    if line == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem(line, "", "the file is UTF-16: save it as UTF-8")
    return Problem(line, "", f"is not UTF-8 (byte 0x{error.object[error.start]:02x}): save the file as UTF-8")


# CSV -----------------------------------------------------------------------------------------------------------------


def _csv_rows(stream: BinaryIO) -> Iterator[Row]:
    records = _records(_lines(stream))
    number, header = next(records, (1, Problem(1, "", "the file is empty: the first line has to name the columns")))
    problems = (header,) if isinstance(header, Problem) else tuple(_header_problems(number, header))
    if problems or isinstance(header, Problem):
        yield number, problems
        return
    width = len(header)
    for number, cells in records:
        if isinstance(cells, Problem):
            yield number, (cells,)
        elif len(cells) != width:
            reason = f"has {len(cells)} values where the header has {width} columns"
            yield number, (Problem(number, "", reason),)
        else:
            yield number, dict(zip(header, cells, strict=True))


def _records(lines: Iterator[_Line]) -> Iterator[tuple[int, list[str] | Problem]]:
    """CSV records with the line each starts on. Blank lines are skipped; a quoted field may run over lines."""
    again: deque[_Line] = deque()
    while (line := again.popleft() if again else next(lines, None)) is not None:
        number, text = line
        if isinstance(text, Problem):
            yield number, text
        elif not text or text.isspace():
            continue
        elif '"' not in text:
            yield number, text.split(",")
        elif text.count('"') % 2 == 0:
            yield number, _cells(number, text)
        else:
            whole = _gather(text, lines, again)
            unclosed = Problem(number, "", "a quote is opened and not closed")
            yield number, unclosed if whole is None else _cells(number, whole)


def _gather(text: str, lines: Iterator[_Line], again: deque[_Line]) -> str | None:
    """The record that `text` begins, up to the line that closes its quote.

    None if no line does; then what was looked at is put into `again`, to be read as records of their own.
    """
    taken: list[_Line] = []
    while len(taken) < MAX_RECORD_LINES:
        line = again.popleft() if again else next(lines, None)
        if line is None:
            break
        taken.append(line)
        if isinstance(line[1], Problem):
            break
        text += "\n" + line[1]
        if line[1].count('"') % 2:
            return text
    again.extendleft(reversed(taken))
    return None


def _cells(number: int, text: str) -> list[str] | Problem:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as exc:
        return Problem(number, "", f"is not CSV: {exc}")


def _header_problems(line: int, header: list[str]) -> Iterator[Problem]:
    known = set(header) & set(KEYS)
    if not known:
        hint = ""
        if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
            hint = "; values are separated by commas"
        reason = f"the first line has to name the columns (ticker,action,side,count,price ...){hint}"
        yield Problem(line, "", reason)
        return
    for at, name in enumerate(header, 1):
        if not name.strip():
            yield Problem(line, "", f"column {at} has no name")
        elif name not in known:
            yield Problem(line, *unknown_key(name))
    for name in dict.fromkeys(name for name in header if name in known and header.count(name) > 1):
        yield Problem(line, name, "is the name of more than one column")
    for name in ("ticker", "count", "side"):
        if name not in known:
            yield Problem(line, name, "there is no such column")
    if not known.intersection(PRICE_KEYS):
        yield Problem(line, "price", f"there is no column with a price ({', '.join(PRICE_KEYS)})")


# JSON ----------------------------------------------------------------------------------------------------------------


class _NotJSON(ValueError):
    """Well-formed for the parser, but not JSON or not what a row may be."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NotJSON(f"the key {shown(twice)} is given twice")
    return found


def _constant(name: str) -> object:
    raise _NotJSON(f"{name} is not JSON")


# Numbers stay their literal text: never through float, and never an int of a million digits.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant)


def _decode(text: str, at: int) -> tuple[object, int, str]:
    """The value that starts at `at`, the position after it, and "" or why there is none."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as exc:
        where = f"column {exc.colno}" if exc.lineno == 1 else f"line {exc.lineno}, column {exc.colno}"
        return None, at, f"is not JSON: {exc.msg.removesuffix(' at')} at {where}"
    except _NotJSON as exc:
        return None, at, str(exc)
    except RecursionError:
        return None, at, "is nested too deeply"
    return value, end, ""


def _as_row(line: int, value: object) -> Row:
    if isinstance(value, dict):
        return line, value
    names = {list: "a list", str: "a text", Number: "a number", bool: "true or false", type(None): "null"}
    return line, (Problem(line, "", f"is {names[type(value)]}: an order is an object {{...}}"),)


def _jsonl_rows(stream: BinaryIO) -> Iterator[Row]:
    for number, text in _lines(stream):
        if isinstance(text, Problem):
            yield number, (text,)
            continue
        text = text.strip(" \t\r")
        if not text:
            continue
        value, end, reason = _decode(text, 0)
        if not reason and end != len(text):
            reason = f"has more after the end of the object, at column {end + 1}: one object per line"
        yield (number, (Problem(number, "", reason),)) if reason else _as_row(number, value)


_BLANKS = re.compile(r"[ \t\r\n]*")
_ORDERS = re.compile(r'\{[ \t\r\n]*"orders"[ \t\r\n]*:[ \t\r\n]*\[')


def _document_rows(stream: BinaryIO) -> Iterator[Row]:
    raw = stream.read(MAX_DOCUMENT + 1)
    if len(raw) > MAX_DOCUMENT:
        reason = f"the document is larger than {MAX_DOCUMENT >> 20} MB: use JSON lines (.jsonl), which has no limit"
        yield None, (Problem(None, "", reason),)
        return
    try:
        text = raw.removeprefix(_BOM).decode()
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        yield line, (_not_utf8(line, raw, exc),)
        return
    del raw
    yield from _Document(text).rows()


class _Document:
    """One JSON document of orders and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.skip()

    def skip(self, to: int = 0) -> str:
        """Go to `to` and past the blanks there, counting lines; the character found ("" at the end)."""
        match = _BLANKS.match(self.text, max(to, self.at))
        assert match is not None
        self.line += self.text.count("\n", self.at, match.end())
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def rows(self) -> Iterator[Row]:
        opened = _ORDERS.match(self.text, self.at)
        if opened is not None:
            self.skip(opened.end())
            yield from self.array("}")
        elif self.text.startswith("[", self.at):
            self.skip(self.at + 1)
            yield from self.array("")
        elif self.text.startswith("{", self.at):
            if (yield from self.element()):
                yield from self.ending("")
        else:
            empty = self.at == len(self.text)
            yield self.problem("the file is empty" if empty else "is neither a list of orders nor an order")

    def array(self, closing: str) -> Iterator[Row]:
        """The elements of the array whose bracket was just passed, then what has to follow it."""
        found = self.skip()
        while found != "]":
            # A syntax error leaves no way to know where the next order starts.
            if not (yield from self.element()):
                return
            found = self.skip()
            if found == ",":
                self.skip(self.at + 1)
            elif found != "]":
                yield self.problem("is not JSON: a comma or the end of the list is missing here")
                return
        self.skip(self.at + 1)
        yield from self.ending(closing)

    def element(self) -> Generator[Row, None, bool]:
        """The value that starts here; whether it could be read."""
        value, end, reason = _decode(self.text, self.at)
        if reason:
            yield self.problem(reason)
            return False
        yield _as_row(self.line, value)
        self.skip(end)
        return True

    def ending(self, closing: str) -> Iterator[Row]:
        if closing and self.skip() != closing:
            yield self.problem('nothing but "orders" may be in the outer object, and it has to be closed')
            return
        if self.skip(self.at + len(closing)):
            yield self.problem("is not JSON: there is more after the end of the document")

    def problem(self, reason: str) -> Row:
        return self.line, (Problem(self.line, "", reason),)
