"""One page to look at: runs, how they were trained, and where they fail."""
