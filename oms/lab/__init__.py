"""The laboratory puts oms to the proof from outside: it may import every room, and only the command line enters it.

`judge` imports nothing of oms at all, so that a mistake of oms cannot excuse itself.
"""
