"""A stand-in for PDPJ, and a webhook receiver: an HTTP server of its own, for tests and demos.

It follows `docs/source.md` and shares only the rules of case numbers with the service. All people
and numbers are synthetic. `docs/reference/sandbox.md` lists its cases, faults and controls. It does
not promise to be the portal: where no answer was ever recorded, it gives a plausible one.
"""
