"""A stand-in for PDPJ, and a webhook receiver: an HTTP server of its own, for tests and demos.

It follows facts/pdpj-api.md, the numbered list of its last section above all, and knows nothing of
the service but the rules of case numbers. All people and numbers are made up. It does not promise
to be the portal: what nobody has recorded (§12) is answered in one plausible way.
"""
