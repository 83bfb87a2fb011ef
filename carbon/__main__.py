"""`python -m carbon` is the `carbon` command."""

from carbon.cli import main

main()
