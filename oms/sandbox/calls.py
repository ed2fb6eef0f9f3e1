"""One request on its way through the exchange: who asks, when, of what, and the parameters it gives."""

import re
from typing import NamedTuple

from oms.sandbox.account import Account
from oms.sandbox.amounts import MICROS
from oms.sandbox.auth import Key
from oms.sandbox.desk import Desk
from oms.sandbox.limits import Meter
from oms.sandbox.refusals import bad_query, refuse
from oms.sandbox.state import Moment, State
from oms.sandbox.wire import Request

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class Call(NamedTuple):
    """What a handler gets. `as_of_us` is the instant whose state reads of the account show."""

    operation: str
    request: Request
    path: dict[str, str]
    account: Account
    key: Key | None
    state: State
    desk: Desk
    meter: Meter
    when: Moment
    as_of_us: int

    def integer(self, name: str) -> int | None:
        """A whole number from the query; raises shape c for anything else."""
        text = self.request.first(name)
        if text is None:
            return None
        if _INTEGER.fullmatch(text) is None:
            raise bad_query(self.operation, name, "number")
        return int(text)

    def after_us(self, name: str) -> int | None:
        """A lower bound given in Unix seconds."""
        seconds = self.integer(name)
        return None if seconds is None else seconds * MICROS

    def before_us(self, name: str) -> int | None:
        """An upper bound given in Unix seconds: the end of that second."""
        seconds = self.integer(name)
        return None if seconds is None else seconds * MICROS + MICROS - 1

    def subaccount(self, given: int | None, default: int | None) -> int | None:
        """The subaccount a request is about; a key locked to one may name no other."""
        locked = None if self.key is None else self.key.subaccount
        if locked is None:
            return default if given is None else given
        if given not in (None, locked):
            raise refuse(403, "forbidden", details="the key is restricted to another subaccount")
        return locked

    @property
    def cutoff_us(self) -> int:
        """Ended orders last touched before this, and fills made before it, are in the historical lists only."""
        seconds = self.state.knobs.historical_cutoff
        return self.when.at_us - 90 * 86_400 * MICROS if seconds is None else seconds * MICROS
