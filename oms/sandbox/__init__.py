"""An exchange on loopback in Kalshi's wire words, for demos, tests and other people's programs.

An island: it imports nothing else of oms, and of oms only the command line and the demo import it.
`server.serve` runs it in the foreground, `launch.launch` starts it detached, `exchange.Exchange` is the
exchange itself: synchronous, without a clock, a socket or randomness of its own.
"""
