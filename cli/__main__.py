"""`python -m cli`, the same as the command `autos`."""

from cli.main import main

main()
