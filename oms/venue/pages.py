"""Lists in pages, walked with suspicion.

A listing is evidence (the proof of absence rests on it), so whatever makes it doubtful ends it with ReadFailed: a
cursor that comes again (a garbage cursor silently gives page one), more pages than could be, a body without its list.
What repeats is given once; what cannot be read is kept in sight and never hides its neighbors.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from oms.errors import ReadFailed
from oms.venue.reads import Query
from oms.venue.wire import Unreadable, clip

__all__ = ["Listing", "Unread"]

PAGE_LIMIT = 1000  # the largest the exchange allows
MAX_PAGES = 10_000  # ten million items: beyond any account
# A page may be empty and others follow; so many in a row are a list that does not end.
MAX_EMPTY_PAGES = 20

T = TypeVar("T")


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a listing that could not be read; the ids it does show may be empty."""

    order_id: str
    client_order_id: str
    reason: str


class Listing(Generic[T]):
    """Iterate once over every item of a list, page by page as they are needed.

    Raises ReadFailed while iterating when the listing cannot be trusted as a whole: nothing may be concluded from
    what is missing then. `complete` is True only after the last page; `unreadable` fills as pages pass.
    """

    def __init__(
        self,
        fetch: Callable[[Query], Any],
        field: str,
        query: Query,
        read: Callable[[Any], T],
        key: Callable[[T], str],
        max_pages: int = MAX_PAGES,
    ) -> None:
        """`fetch(query)` gets a page, `field` names its list, `read(item)` may raise Unreadable, `key` tells twins."""
        self._fetch = fetch
        self._field = field
        self._query = dict(query)
        self._read = read
        self._key = key
        self._max_pages = max_pages
        self.unreadable: list[Unread] = []
        self.pages = 0
        self.seen = 0
        self.complete = False

    def __iter__(self) -> Iterator[T]:
        assert self.pages == 0, "a listing is read once"
        keys: set[str] = set()
        cursors: set[str] = set()
        cursor = ""
        empty = 0
        while True:
            items, cursor = self._page(cursor)
            empty = 0 if items else empty + 1
            for item in items:
                try:
                    found = self._read(item)
                except Unreadable as exc:
                    self.unreadable.append(_unread(item, exc))
                    continue
                key = self._key(found)
                if key not in keys:
                    keys.add(key)
                    self.seen += 1
                    yield found
            if not cursor:
                self.complete = True
                return
            if cursor in cursors:
                raise ReadFailed(f"the exchange's list of {self._field} goes round in a circle")
            if empty > MAX_EMPTY_PAGES:
                raise ReadFailed(f"the exchange's list of {self._field} goes on with empty pages")
            cursors.add(cursor)

    def _page(self, cursor: str) -> tuple[list[Any], str]:
        if self.pages >= self._max_pages:
            raise ReadFailed(f"the exchange's list of {self._field} has more than {self._max_pages} pages")
        page = self._fetch({**self._query, "cursor": cursor} if cursor else self._query)
        self.pages += 1
        if not isinstance(page, dict) or self._field not in page:
            raise ReadFailed(f"a page of the exchange's {self._field} has no list of them")
        items = [] if page[self._field] is None else page[self._field]
        following = page.get("cursor") or ""
        if not isinstance(items, list) or not isinstance(following, str):
            raise ReadFailed(f"a page of the exchange's {self._field} is not what it should be")
        return items, following


def _unread(item: Any, why: Unreadable) -> Unread:
    def shown(name: str) -> str:
        value = item.get(name) if isinstance(item, dict) else None
        return clip(value, 128) if isinstance(value, str) else ""

    return Unread(order_id=shown("order_id"), client_order_id=shown("client_order_id"), reason=str(why))
