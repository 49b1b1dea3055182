"""A stand-in for PDPJ, and a webhook receiver: an HTTP server of its own, for tests and demos.

It follows docs/source.md and knows nothing of the service but the rules of case numbers. All people
and numbers are made up. What it can be made to do is in docs/sandbox.md. It does not promise to be
the portal: what has never been recorded is answered in one plausible way.
"""
