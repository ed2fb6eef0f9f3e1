"""What `Oms` hands out of its ledger in one piece: exports and the report. Asks neither exchange nor key."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from oms.ledger.ledger import Ledger
from oms.venue.clock import system_now_us


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a report: `fields` as `oms report --json` answers them, `pairs` in a line each, `html` a page."""

    fields: dict[str, Any]
    pairs: dict[str, Any]
    html: str


class Handouts(ABC):
    """The part of `Oms` that turns the ledger into files."""

    @abstractmethod
    def _open(self, *, create: bool, writable: bool = False) -> Ledger:
        """The ledger of this object."""

    def export(
        self,
        what: str,
        to: Path | BinaryIO,
        *,
        form: str = "csv",
        since_us: int | None = None,
        batch: str | None = None,
        force: bool = False,
    ) -> int:
        """Write all "orders", "fills" or "events" as csv, jsonl or parquet to a file or a binary stream; how many rows.

        A file is there whole or not at all, on the disk on return; what is there already is replaced with `force`
        only. `since_us` is UTC microseconds. Raises InputError, UnknownOrder (no such batch), LedgerMissing, and
        OmsError where the file cannot be written.
        """
        from oms.app.export import export
        from oms.app.whole import whole_file

        ledger = self._open(create=False)
        if not isinstance(to, Path):
            return export(ledger, what, to, form=form, since_us=since_us, batch=batch)
        with whole_file(to, force=force, ledger=ledger.path) as sink:
            return export(ledger, what, sink, form=form, since_us=since_us, batch=batch)

    def report(self, *, since_us: int | None = None, html: Path | None = None, force: bool = False) -> Report:
        """What happened since then, or ever; with `html` its page is also written to that file, whole or not at all.

        Raises LedgerMissing, InputError (the file exists, and not `force`), OmsError where it cannot be written.
        """
        from oms.app import report
        from oms.app.whole import whole_file

        ledger = self._open(create=False)
        figures = report.gather(ledger, since_us, system_now_us())
        found = Report(report.fields(figures), report.pairs(figures), report.page(figures))
        if html is not None:
            with whole_file(html, force=force, ledger=ledger.path) as sink:
                sink.write(found.html.encode())
        return found
