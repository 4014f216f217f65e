"""Tables of papers: published numbers beside those of one's own runs."""
