"""The simulator: the compiled machines of the daemon on a network that exists only in memory.

`story` is a network and what happens to it, as data; `chance` makes stories from seeds; `play` runs them and
says which rule was broken; `shrink` makes a broken one short; `timeline` and `picture` show it. What happens
within a run is in the compiled core (`fastha._core.sim`); nothing here is used by the daemon.
"""
