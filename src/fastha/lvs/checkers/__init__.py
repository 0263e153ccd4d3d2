"""Health checks, one file per kind."""
