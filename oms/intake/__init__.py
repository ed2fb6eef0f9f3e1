"""Rows in, validated intents out. PURE: no clock, no randomness, no database, no network.

`intents` holds the record and its exact request body, `dialects` reads one row, `readers` splits files and streams
into rows, `ids` derives client_order_ids and batch keys.
"""
