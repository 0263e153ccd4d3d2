"""The benchmark suite: fastha beside keepalived, FRR and a bare control, measured from outside.

What this is for: ``python -m bench`` runs every scenario for every daemon, alternately in the same run,
and writes
what it saw as JSON and as a report of ratios. A daemon under test is an adapter of a few lines
(:mod:`bench.daemons`); a scenario is one file under ``bench/scenarios``. Everything is seen on the wire
(kernel
timestamps) or in /proc; no daemon is asked how it feels.
"""
