"""Side effects: each activity is idempotent, sends heartbeats, and uses bounded memory."""
