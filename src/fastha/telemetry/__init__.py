"""Counters, timelines, dumps and metrics."""
