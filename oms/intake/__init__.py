"""Rows in, validated intents out. PURE: no clock, no randomness, no database, no network.

`intents` holds the record and its exact request body, `readers` splits files and streams into rows, `fields` reads one
value, `dialects` one row, `ids` derives client_order_ids and batch keys, `batches` takes many rows in two passes,
`wording` says what is wrong.
"""
