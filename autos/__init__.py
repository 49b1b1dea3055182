"""What every part of Autos shares: numbers, contracts, settings, records, source, store."""
