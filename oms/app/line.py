"""A run that stays open: orders are handed to it one by one, recorded in its next turn and sent at once (P1, P2).

The run is the same as any other (lock, epoch, recovery, limits, doubt), in a thread of its own. Handing in shares its
transaction: one commit records an order, claims it, and takes in the answers that have come meanwhile.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from oms.app.intake import Offer
from oms.app.tally import Ended
from oms.errors import InputError, LedgerFailed, OmsError
from oms.ledger.record import CHUNK
from oms.ledger.tray import Tray
from oms.records import Stop, SubmitReport

# (rows, batch, order group, time to live): surveyed, held against the limits.
Offering = Callable[[Sequence[Mapping[str, object]], str | None, str | None], Offer]


class Line:
    """An open line to the exchange; `Oms.line` makes it. Leave the `with` block, or close it, and it ends in order.

    It takes orders until it is closed, or until sending stops (`stop` tells why): after a halt, an interrupt, a refused
    key, ten refusals in a row, an exchange out of reach for `[submit] wait_s`.
    """

    def __init__(
        self,
        offering: Offering,
        ttl_us: Callable[[int | None], int | None],
        send: Callable[[Tray], Ended],
        reported: Callable[[Ended], SubmitReport],
    ) -> None:
        self._offering = offering
        self._ttl_us = ttl_us
        self._send = send
        self._reported = reported
        self._tray = Tray()
        self._ended: Ended | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="oms-line", daemon=True)
        self._thread.start()
        self._tray.await_run()
        if self._failure is not None:
            raise self._failure

    def place(
        self,
        *orders: Mapping[str, object],
        batch: str | None = None,
        order_group: str | None = None,
        ttl_s: int | None = None,
    ) -> tuple[str, ...]:
        """Record orders and have them sent; their client_order_ids. From any thread.

        Durable on return; the first bytes are on their way then, or wait for a rate token. What an order came to is
        told by `Oms.order`. Orders are the same as others by the rules of `Oms.submit`, and what was placed before is
        not placed again. Raises InputError, LimitExceeded, and LedgerBusy where the line has ended (`stop` tells
        why): nothing was recorded. After LedgerFailed they may be recorded, and nothing is sent any more.
        """
        if len(orders) > CHUNK:
            raise InputError(
                f"{len(orders)} orders at once are too many for a line; nothing was recorded",
                hint=f"hand in up to {CHUNK} at a time, or use `submit`",
            )
        offer = self._offering(orders, batch, order_group)
        intents = tuple(offer.intents())
        self._tray.hand(offer.batch(self._ttl_us(ttl_s)), intents, lambda: offer.survey.check(new=True))
        return tuple(intent.client_order_id for intent in intents)

    @property
    def is_open(self) -> bool:
        """Whether orders can be placed; it ends by itself where sending stops."""
        return self._tray.is_open

    @property
    def is_running(self) -> bool:
        """Whether its run has the ledger yet: it may, for a while, when orders can be placed no more."""
        return self._thread.is_alive()

    @property
    def stop(self) -> Stop | None:
        """Why it ended, where that was not by `close`."""
        return None if self._ended is None else self._ended.stop

    def close(self) -> SubmitReport:
        """Take nothing more, send what is queued, resolve what is in doubt as far as a run does; harmless twice.

        The report is that of all that was placed over the line. Raises what the run raised (LedgerFailed, EpochLost).
        """
        self._tray.close()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        assert self._ended is not None
        return self._reported(self._ended)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        failure: OmsError | None = None
        try:
            self._ended = self._send(self._tray)
        except OmsError as exc:
            failure = self._failure = exc
        except BaseException as exc:
            self._failure = exc
            failure = LedgerFailed(f"the line broke off: {type(exc).__name__}", hint="see the error of its `close`")
        finally:
            self._tray.end(failure)
