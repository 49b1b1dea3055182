"""Side effects: each activity is idempotent, says that it is alive, and uses bounded memory."""
