"""Webhooks: what they say, how they are signed, and where they may go (DESIGN §11)."""
