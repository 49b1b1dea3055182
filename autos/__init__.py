"""Code shared by all parts of Autos: case numbers, contracts, settings, records, source, store."""
