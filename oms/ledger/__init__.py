"""The only door to the database: schema, opening, recording, claiming, appending, reading.

Nothing here knows HTTP or the exchange's wire. Promises kept here: P1 (commit before the caller goes on), P3, P5
(epochs), P6 (facts applied once), P7 (projections follow from events).
"""
