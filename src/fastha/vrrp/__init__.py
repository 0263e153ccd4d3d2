"""Virtual router instances and sync groups: from the model to plans for the engine, from its events to
state."""
