"""One event type in, many ways out: scripts, FIFOs, mail, webhooks, the journal."""
