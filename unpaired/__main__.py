"""`python -m unpaired` is `unpaired`."""

from unpaired.cli import main

main()
