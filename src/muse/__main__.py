"""`python -m muse` is `muse`."""

from muse.cli import main

main()
