"""The worker process: binds workflows and activities to task queues."""
