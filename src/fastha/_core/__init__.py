"""The compiled part: codecs, state machines, timers, rings, the engine. Imports nothing of the Python
layers."""
