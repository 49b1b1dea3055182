"""Webhooks: events, signatures and secrets, the guard against SSRF, the sender."""
