"""From the CSV files of a challenge package to arrays: layout, checks, cache, windows."""
