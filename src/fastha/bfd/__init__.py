"""BFD sessions: from the model to the engine, from its events to state."""
