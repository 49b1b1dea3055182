"""Deterministic code only: what happens in which order. Side effects are in `activities`."""
