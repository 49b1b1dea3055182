"""Workflow definitions: deterministic code only. Side effects are in `activities`."""
