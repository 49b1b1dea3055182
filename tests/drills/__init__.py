"""Drills: parts are killed and faults turned on at seeded moments, and every promise is checked."""
