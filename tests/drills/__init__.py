"""Drills: parts are killed and faults enabled at seeded times, and every guarantee is checked."""
