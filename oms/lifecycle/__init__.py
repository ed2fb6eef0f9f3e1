"""States of commands and orders, the events that move them, and their replay. PURE.

`states` holds the words and the two records, `events` every fact the ledger can record, `table` the two transition
tables as data, `replay` the one function that applies an event. Nothing here knows a clock, a database or a network.
"""
