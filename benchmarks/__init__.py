"""Measurements side by side with what a user would take instead. Ratios, never absolute bars."""
