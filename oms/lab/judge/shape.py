"""How an id looks that oms derived: a UUID of version 8 whose first 16 bits are the letters "om"."""

import re

_ID = re.compile(r"6f6d([0-9a-f]{4})-([0-9a-f]{4})-8([0-9a-f]{3})-([89ab][0-9a-f]{3})-[0-9a-f]{12}", re.ASCII)


def batch_head(client_order_id: str) -> str | None:
    """The first 14 hex digits of the key of the batch that an id was derived from; None for any other id."""
    match = _ID.fullmatch(client_order_id)
    if match is None:
        return None
    return f"{match[1]}{match[2]}{match[3]}{int(match[4], 16) >> 2 & 0xFFF:03x}"
