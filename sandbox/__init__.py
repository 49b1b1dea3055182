"""The sandbox: an HTTP server in place of PDPJ, with a receiver of webhooks, for tests and demos.

It follows `docs/source.md` and shares only the rules of case numbers with the service. All people
and numbers are synthetic. `docs/reference/sandbox.md` lists its cases and faults. It does not
promise to equal the portal: where the portal's answer is unknown, it gives a plausible one.
"""
