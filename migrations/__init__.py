"""Schema changes, in order. `autos migrate` runs them."""
