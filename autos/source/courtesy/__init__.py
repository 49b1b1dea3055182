"""Courtesy towards the source: `courts.Courts.turn` lists what each request passes."""
