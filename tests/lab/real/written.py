"""What a power cut would leave of a ledger at each send of a real life, rebuilt from its trace.

The worst a disk may do: a byte counts only once the fdatasync or fsync of its file has returned, and the name of a file
only once its folder has been synced; an unlink that was not synced has not happened. From what is left at the moment a
write request leaves, SQLite itself reads whether that request is on record, with its body and the time it is signed at.
"""

import json
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.real.strace import Call

# All that changes a file or a name, and what leaves.
CALLS = (
    *("openat", "pwrite64", "write", "ftruncate", "unlink", "rename", "link", "fsync", "fdatasync"),
    *("connect", "sendto", "recvfrom"),
)
# One row for each attempt that is on record as under way, with the request that was recorded for it: creates are asked
# for by client_order_id, what changes or takes back an order by order_id, actions by what they are about.
_CREATES = """
SELECT c.last_signed_ms, (SELECT data FROM events e WHERE e.command_key = c.key AND e.kind = 'recorded')
FROM orders o JOIN commands c ON c.order_key = o.key
WHERE c.state = 'on_wire' AND c.kind = 'create' AND o.client_order_id = ?1
"""
_CHANGES = _CREATES.replace("c.kind = 'create' AND o.client_order_id", "c.kind = '{kind}' AND o.order_id")
_ACTIONS = """
SELECT last_signed_ms, json_object('body', body) FROM actions
WHERE state = 'on_wire' AND kind = '{kind}' AND (target = ?1 OR kind = 'group_create')
"""

# What SQLite reads; the files beside it (mark, locks, halt) are not asked what is on record.
_OF_LEDGER = re.compile(r"\.sqlite3(-wal|-journal)?$")


@dataclass(slots=True)
class File:
    """One file: what was written, and what of it is on the disk."""

    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


class Disk:
    """A folder as the calls of a life change it."""

    def __init__(self, folder: Path) -> None:
        """What is there at the beginning is on the disk."""
        self._folder = str(folder)
        self._names: dict[str, File] = {}
        for path in folder.iterdir() if folder.exists() else ():
            content = path.read_bytes()
            self._names[str(path)] = File(bytearray(content), content)
        self._synced_names = dict(self._names)

    def begin(self, call: Call) -> None:
        """A call that will be done has begun: whoever reads the file may see it from here on."""
        names = [name for name in (text.decode(errors="replace") for text in call.strings) if name in self]
        match call.name:
            case "openat" if "O_CREAT" in call.args and names:
                self._names.setdefault(names[0], File())
                if "O_TRUNC" in call.args:
                    del self._names[names[0]].content[:]
            case "pwrite64" | "ftruncate" if call.path in self._names:
                self._write(self._names[call.path].content, call)
            case "unlink" if names:
                self._names.pop(names[0], None)
            case "rename" if len(names) == 2:
                self._names[names[1]] = self._names.pop(names[0])
            case "link" if len(names) == 2:
                self._names[names[1]] = self._names[names[0]]
            case "write" | "rename" | "link":
                assert not _OF_LEDGER.search(call.path), f"not understood: {call}"
                assert not names, f"not understood: {call}"

    def _write(self, content: bytearray, call: Call) -> None:
        *_, last = call.args.rsplit(", ", 1)
        if call.name == "ftruncate":
            del content[int(last) :]
            content.extend(bytes(int(last) - len(content)))
            return
        offset, length = int(last), int(call.result.split()[0])
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + length] = call.strings[0][:length]

    def end(self, call: Call) -> None:
        """A call has returned: a sync holds from here on."""
        if call.name not in ("fsync", "fdatasync"):
            return
        if call.path == self._folder:
            self._synced_names = dict(self._names)
        elif call.path in self._names:
            self._names[call.path].synced = bytes(self._names[call.path].content)

    def left(self, to: Path) -> Path:
        """Write what a power cut would leave now into another folder; the path of the ledger there."""
        for name, file in self._synced_names.items():
            if _OF_LEDGER.search(name):
                (to / Path(name).name).write_bytes(file.synced)
        return to / "oms.sqlite3"

    def __contains__(self, name: str) -> bool:
        return str(Path(name).parent) == self._folder


@dataclass(frozen=True, slots=True)
class Proof:
    """How many write requests left, and which of them were not on the disk."""

    sends: int
    breaches: list[str]


def prove(calls: Iterable[Call], disk: Disk) -> Proof:
    """Go through a life, and ask at the first byte of each write request what a power cut would leave."""
    moments = sorted(
        [(call.begun, True, call) for call in calls] + [(call.ended, False, call) for call in calls if call.is_done],
        key=lambda moment: (moment[0], not moment[1]),
    )
    requests: dict[str, bytes] = {}  # what has left of a request, by its socket
    found: list[str] = []
    sends = 0
    for _, is_beginning, call in moments:
        if not is_beginning:
            disk.end(call)
        elif call.name != "sendto":
            if call.is_done:
                disk.begin(call)
        elif call.strings[0].startswith((b"POST ", b"PUT ", b"DELETE ")):
            sends += 1
            requests[call.path] = call.strings[0]
            with TemporaryDirectory() as folder:
                found += _unrecorded(_whole(call.strings[0]), disk.left(Path(folder)))
    return Proof(sends, found)


def _whole(sent: bytes) -> tuple[str, str, int, bytes]:
    """Method, path, time of the signature and body; a request leaves in one piece, or there is nothing to compare."""
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(body) == int(headers.get("content-length", "0")), first
    method, path, _ = first.split(" ")
    return method, path, int(headers["kalshi-access-timestamp"]), body


def _unrecorded(request: tuple[str, str, int, bytes], ledger: Path) -> list[str]:
    method, path, signed_ms, body = request
    there: list[tuple[int, str] | None] = []
    asked, subjects = _asked(method, path.partition("?")[0], body)
    with closing(sqlite3.connect(ledger)) as database:
        try:
            there = [database.execute(asked, (name,)).fetchone() for name in subjects]
        except sqlite3.Error as exc:  # no ledger at all: SQLite finds no table
            return [f"{method} {path} leaves; what a power cut would leave cannot be read: {exc}"]
    if all(row is not None and row[0] == signed_ms for row in there) and _body(method, body, there) == body:
        return []
    return [f"{method} {path} signed at {signed_ms} leaves; a power cut would leave {there}"]


def _asked(method: str, path: str, body: bytes) -> tuple[str, list[str]]:
    """How the record of a request is looked up, and of what: each order or action that it carries."""
    *_, owner, last = path.split("/")
    match method, owner, last:
        case "DELETE", "events", "orders":
            return _ACTIONS.format(kind="cancel_all"), [""]
        case "DELETE", "orders", "batched":
            orders = json.loads(body)["orders"]
            return _CHANGES.format(kind="cancel"), [each["order_id"] for each in orders]
        case "DELETE", "orders", _:
            both = (_CHANGES.format(kind="cancel"), _ACTIONS.format(kind="cancel_external"))
            return " UNION ALL ".join(both), [last]
        case "POST", "order_groups", "create":
            return _ACTIONS.format(kind="group_create"), [""]
        case "PUT", _, "trigger" | "reset" | "limit":
            return _ACTIONS.format(kind=f"group_{last}"), [owner]
        case "DELETE", "order_groups", _:
            return _ACTIONS.format(kind="group_delete"), [last]
        case "POST", _, "amend" | "decrease":
            return _CHANGES.format(kind=last), [owner]
        case "POST", "events" | "orders", "orders" | "batched":
            document = json.loads(body)
            return _CREATES, [each["client_order_id"] for each in document.get("orders", [document])]
    raise AssertionError(f"not understood: {method} {path}")


def _body(method: str, sent: bytes, there: Iterable[tuple[int, str] | None]) -> bytes:
    """What is to be sent, by the record. Of a cancel that are the order_ids, by which it was looked up."""
    if method == "DELETE":
        return sent
    recorded = ",".join(json.loads(row[1])["body"] for row in there if row is not None)
    return f'{{"orders":[{recorded}]}}'.encode() if sent.startswith(b'{"orders":[') else recorded.encode()
