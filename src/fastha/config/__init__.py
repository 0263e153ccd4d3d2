"""keepalived's configuration language: text to tokens to tree to a typed, frozen model."""
