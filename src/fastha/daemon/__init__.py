"""The running daemon: start, privileges, signals, reload, control socket."""
