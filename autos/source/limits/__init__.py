"""Rate limits and circuit breakers; `courts.Courts.turn` lists what each request passes."""
