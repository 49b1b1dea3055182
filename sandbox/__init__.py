"""The sandbox: an HTTP server in place of PDPJ, with a receiver of webhooks, for tests and demos.

It follows docs/source.md and uses nothing of the service but the rules of case numbers. All people
and numbers are made up; docs/sandbox.md lists its cases and faults. Does not promise to equal the
portal: where the portal's answer is unknown, it gives one plausible answer.
"""
