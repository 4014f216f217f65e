"""muse: train, fuse and score models for the MuSe challenges."""

__version__ = "0.2.0"
