"""The run folder: its files, its identity, reading it back."""
