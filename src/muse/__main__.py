"""`python -m muse` is `muse`."""

from muse.cli.main import main

main()
