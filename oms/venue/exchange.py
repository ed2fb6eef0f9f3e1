"""The exchange as a whole: is it open, how fresh are its reads, where does history begin."""

from typing import Any

import msgspec

from oms.errors import ReadFailed
from oms.venue.reads import Reader
from oms.venue.wire import Unreadable, convert, integer, printable, time_ms

__all__ = ["Cutoff", "Exchange", "ExchangeStatus", "ShardStatus"]


class ShardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the exchange; pauses are per shard."""

    exchange_index: int
    exchange_active: bool
    trading_active: bool


class ExchangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`trading_active` False: no creates, cancels work. `exchange_active` False: no writes at all."""

    exchange_active: bool
    trading_active: bool
    estimated_resume_time: str | None = None
    shards: tuple[ShardStatus, ...] = ()


class Cutoff(msgspec.Struct, frozen=True, kw_only=True):
    """What was last touched before these times (ms, exchange clock) is only in the historical lists."""

    orders_updated_ms: int
    trades_created_ms: int


class Exchange:
    """Public reads about the exchange."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def status(self) -> ExchangeStatus:
        """Open or paused; the exchange says so with a 500, 503 or 504 as well. Raises ReadFailed."""
        path = "/exchange/status"
        value = self._reader.get(path, also=(500, 503, 504))
        try:
            return _read_status(value)
        except Unreadable as exc:
            raise ReadFailed(f"the answer to GET {path} cannot be read: {exc}") from None

    def user_data_timestamp_ms(self) -> int:
        """How fresh the reads of orders, fills, positions and balance are (exchange clock, ms). Raises ReadFailed."""
        path = "/exchange/user_data_timestamp"
        value = self._reader.get(path)
        return _time(path, value, "as_of_time")

    def historical_cutoff(self) -> Cutoff:
        """Where the live lists end and the historical ones begin. Raises ReadFailed."""
        path = "/historical/cutoff"
        value = self._reader.get(path)
        return Cutoff(
            orders_updated_ms=_time(path, value, "orders_updated_ts"),
            trades_created_ms=_time(path, value, "trades_created_ts"),
        )


class _Shard(msgspec.Struct, frozen=True):
    exchange_index: str
    exchange_active: bool
    trading_active: bool


class _Status(msgspec.Struct, frozen=True):
    exchange_active: bool
    trading_active: bool
    exchange_estimated_resume_time: str | None = None
    exchange_index_statuses: list[_Shard] | None = None


def _read_status(value: Any) -> ExchangeStatus:
    body = convert(value, _Status)
    resume = body.exchange_estimated_resume_time
    return ExchangeStatus(
        exchange_active=body.exchange_active,
        trading_active=body.trading_active,
        estimated_resume_time=printable(resume, 64) if resume else None,
        shards=tuple(
            ShardStatus(
                exchange_index=integer(shard.exchange_index, "exchange_index"),
                exchange_active=shard.exchange_active,
                trading_active=shard.trading_active,
            )
            for shard in body.exchange_index_statuses or ()
        ),
    )


def _time(path: str, value: Any, name: str) -> int:
    text = value.get(name) if isinstance(value, dict) else None
    try:
        return time_ms(text if isinstance(text, str) else None, name)
    except Unreadable as exc:
        raise ReadFailed(f"the answer to GET {path} cannot be read: {exc}") from None
