"""Rows of an export as parquet, in groups of a fixed size: the one module that needs pyarrow (the extra `parquet`)."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from oms.app.export.tables import Columns, Kind, Line

GROUP = 20_000  # rows in memory at once

_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.JSON: pa.string(),
    Kind.FLAG: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.DOLLARS: pa.decimal128(20, 6),
    Kind.COUNT: pa.decimal128(20, 2),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
}
_READERS: dict[Kind, Callable[[str], object]] = {
    Kind.DOLLARS: Decimal,
    Kind.COUNT: Decimal,
    Kind.TIME: datetime.fromisoformat,
}


def write(sink: BinaryIO, columns: Columns, lines: Iterable[Line]) -> int:
    """Write all lines to `sink`; how many there were."""
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns])
    source = iter(lines)
    count = 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while part := list(islice(source, GROUP)):
            count += len(part)
            arrays = [_array(kind, values) for (_, kind), values in zip(columns, zip(*part, strict=True), strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return count


def _array(kind: Kind, values: Iterable[Any]) -> pa.Array:
    read = _READERS.get(kind)
    cells = values if read is None else [None if value is None else read(value) for value in values]
    return pa.array(cells, type=_TYPES[kind])
