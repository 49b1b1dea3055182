"""The stand-in, started as a process of its own and asked over HTTP."""
