"""Deterministic code only: what happens in which order. Side effects live in `activities`."""
