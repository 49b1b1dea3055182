"""The sandbox, started as a process and tested over HTTP."""
