"""The laboratory's world on a simulated disk: lives end at a change of a file too, and a power cut may follow.

Every send is witnessed: what a power cut at that moment would leave must show it as on the wire (P1, I1).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from oms.app.api import Oms
from oms.lab import crash
from oms.lab.crash import Crash, Steps
from oms.lab.network import WELL, Fate
from oms.lab.world import Life, World, subjects
from oms.venue.transport import Request
from tests.lab.power.disk import Disk, Loss
from tests.lab.power.files import GONE
from tests.lab.power.witness import Witness


class Adapter(crash.Disk):
    """A simulated disk in the words of the laboratory."""

    def __init__(self, power: Disk) -> None:
        super().__init__(Path(power.folder))
        self._power = power
        self.loss, self.seed = Loss.NOTHING, 0  # what the next crash costs

    def remember(self) -> None:
        if self._power.off is None:
            self._power.off = Crash()

    def restore(self) -> None:
        self._power.restart(self.loss, self.seed, GONE)


class PowerWorld(World):
    """A world whose ledger lies on a simulated disk; the steps of a life are also those of the disk."""

    def __init__(
        self,
        folder: Path,
        power: Disk,
        fates: Callable[[Request], Fate] = lambda request: WELL,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.power = power
        self.adapter = Adapter(power)
        self.writes: list[int] = []  # requests that may change something at the exchange, by the time of their claim
        self.fault: Callable[[str], None] = lambda name: None  # may raise OSError at what the disk is asked for
        self._last: Steps | None = None
        super().__init__(folder, fates=fates, disk=lambda _: self.adapter, settings=settings)
        self.network.on_departure = self._depart
        self.witness = Witness(power, self.ledger_path)

    def _oms(self, steps: Steps, *more: Any) -> Oms:
        if self._last is not None and not self._last.is_dead:
            self._last.crashed_at = "over"  # a process that has returned sends nothing any more
        self._last = steps

        def before(deed: str, name: str) -> None:
            short = f"disk {deed} {name.removeprefix(self.ledger_path.name)}"
            self.fault(short)
            if deed not in ("read", "lock", "map"):
                steps.reach(short)

        self.power.before = before
        return super()._oms(steps, *more)

    def _lived(self, oms: Oms, *how: Any) -> Life:
        try:
            life = super()._lived(oms, *how)
        finally:
            self.power.before = lambda deed, name: None
        assert self._last is not None
        if self._last.is_dead and not life.crashed:  # it ended inside SQLite, which told it of an error
            self._bury(oms)
            return Life(life.verb, self._last.count, self._last.crashed_at)
        return life

    def __enter__(self) -> "PowerWorld":
        return self

    def _depart(self, request: Request, signed_ms: int) -> None:
        if request.method == "GET":
            return
        self.writes.append(signed_ms)
        self.witness.sees(subjects(request), signed_ms)
