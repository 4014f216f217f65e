"""muse: train, fuse and score models for the MuSe challenges."""

__version__ = "0.1.0"
