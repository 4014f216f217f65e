"""Packages out of public data sets and of CSV files of one's own."""
