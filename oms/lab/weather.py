"""The weather on the way to the exchange: the fate of each request, drawn from a seed.

Only what an exchange and a network can really do: a request is lost, late, cut or there twice, an answer is lost, late,
false or unreadable, a listing lies. What oms leaves to the exchange by design is not falsified (docs/reliability.md).
"""

import random
from functools import cache

import msgspec

from oms.lab.network import WELL, Fate
from oms.lab.options import Options
from oms.sandbox.faults import READ_FAULTS, WRITE_FAULTS, Fault
from oms.venue.transport import Request

# Besides those that the sandbox draws itself.
_MORE_WRITE_FAULTS = (
    '{"kind":"error"}',
    '{"kind":"error","commit":true}',
    '{"kind":"error","commit":true}',
    '{"kind":"error","status":500,"commit":true}',
    '{"kind":"error","status":504}',
    '{"kind":"no_order_id"}',
    '{"kind":"status","status":202}',
    '{"kind":"reorder"}',
    '{"kind":"omit_items"}',
    '{"kind":"paused"}',
    '{"kind":"redirect"}',
    '{"kind":"hang"}',
)
_MORE_READ_FAULTS = ('{"kind":"repeat_cursor"}', '{"kind":"clock"}', '{"kind":"cut_headers"}', '{"kind":"not_json"}')


SWAPPED = Fate("answer of another", is_swapped=True)
NOT_FOUND = Fate("not found", fault=Fault(kind="not_found"))


@cache
def _faults(texts: tuple[str, ...], left_out: tuple[str, ...]) -> tuple[Fault, ...]:
    faults = [msgspec.json.decode(text, type=Fault) for text in texts]
    return tuple(fault for fault in faults if fault.kind not in left_out)


class Weather:
    """Fates and naps of one campaign."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._options = options
        self._rng = rng
        self._stray = random.Random(f"strays {options.seed}")  # noqa: S311 - the draw of a simulation
        self.is_calm = False
        # Where the exchange forgets ids, nothing can help against the network's own second copy of a request, and an
        # empty listing that lies to a ledger without orders proves too much.
        forgets = options.dedupe == "open_only"
        left_out = ("duplicate", "empty_list") if forgets else ()
        self._writes = _faults(WRITE_FAULTS + _MORE_WRITE_FAULTS, left_out)
        self._reads = _faults(READ_FAULTS + _MORE_READ_FAULTS, left_out)

    def fate(self, request: Request) -> Fate:
        """What becomes of this request."""
        if self.is_calm:
            return WELL
        is_write = request.method != "GET"
        if is_write and self._options.stray and _names(request) and self._stray.random() < self._options.stray:
            is_deniable = not request.path.endswith(("/orders", "/batched"))  # it is about one order that is there
            return NOT_FOUND if is_deniable and self._stray.random() < 0.6 else SWAPPED
        rng = self._rng
        out_us, back_us = rng.randint(200, 40_000), rng.randint(200, 40_000)
        if rng.random() >= (self._options.write_harm if is_write else self._options.read_harm):
            return Fate(out_us=out_us, back_us=back_us)
        kind = rng.randrange(10)
        match kind:
            case 0:
                return Fate("unsent", leaves=False)
            case 1:
                return Fate("lost", arrives=False, out_us=out_us)
            case 2:
                return Fate("answer lost", returns=False, out_us=out_us, back_us=back_us)
            case 3:  # up to beyond what the exchange's skew lets in
                late_us = rng.randint(100_000, round(self._options.skew_ms * 1500))
                return Fate("late", out_us=late_us, back_us=back_us)
            case 4:
                return Fate("slow answer", out_us=out_us, back_us=rng.randint(200_000, 3_000_000))
        fault = rng.choice(self._writes if is_write else self._reads)
        return Fate(fault.kind, fault=fault, out_us=out_us, back_us=back_us)

    def nap(self) -> int:
        """How long a sender waits for its turn, microseconds."""
        if not self.is_calm and self._options.clock_harm and self._rng.random() < 0.05:
            return self._rng.randint(100_000, 9_000_000)
        return self._rng.randint(0, 2_000)


def _names(request: Request) -> bool:
    """Whether the answer names what it is about: those to cancel-all and about order groups do not."""
    return "/order_groups" not in request.path and not (
        request.method == "DELETE" and request.path.endswith("/portfolio/events/orders")
    )
