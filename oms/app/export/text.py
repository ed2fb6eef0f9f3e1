"""Rows of an export as csv and as JSON lines."""

import json
import re
from collections.abc import Iterable
from functools import partial
from typing import Any, BinaryIO

import msgspec

from oms.app.export.tables import Columns, Kind, Line

_SPECIAL = re.compile(r'[",;\t\r\n]')  # a semicolon or tab is where some spreadsheets would begin another cell
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_HARMLESS = re.compile(r"[0-9A-Za-z][\w.:-]*", re.ASCII)  # what nearly every cell is
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def csv_cell(value: object) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and _HARMLESS.fullmatch(value):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def write_csv(sink: BinaryIO, columns: Columns, lines: Iterable[Line]) -> int:
    """Write a line of names, then all lines; how many there were."""
    sink.write(",".join(name for name, _ in columns).encode() + b"\n")
    count = 0
    for line in lines:
        sink.write(",".join(map(csv_cell, line)).encode("utf-8", "backslashreplace") + b"\n")
        count += 1
    return count


def write_jsonl(sink: BinaryIO, columns: Columns, lines: Iterable[Line]) -> int:
    """Write each line as one object; how many there were."""
    names = [name for name, _ in columns]
    raw = [place for place, (_, kind) in enumerate(columns) if kind is Kind.JSON]
    encode = partial(_json_line, msgspec.json.Encoder())
    count = 0
    for line in lines:
        values = dict(zip(names, line, strict=True))
        for place in raw:
            values[names[place]] = msgspec.Raw(line[place].encode())
        sink.write(encode(values))
        count += 1
    return count


def _json_line(encoder: msgspec.json.Encoder, values: dict[str, Any]) -> bytes:
    """Compact JSON in ASCII alone: no locale, terminal or bidi control can change what it says."""
    line = encoder.encode(values)
    if not line.isascii() or b"\x7f" in line:
        text = json.dumps(json.loads(line), ensure_ascii=True, separators=(",", ":"))
        line = text.replace("\x7f", "\\u007f").encode()
    return line + b"\n"
