"""The sandbox: an HTTP server that replaces PDPJ and receives webhooks, for tests and demos.

It follows `docs/source.md` and shares only `autos.cnj` with the service. All people and numbers are
synthetic. `docs/reference/sandbox.md` lists its cases and faults. It is not an exact copy of the
portal: where the portal's response is unknown, the sandbox sends a plausible one.
"""
