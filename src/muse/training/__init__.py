"""Losses, the loop over epochs, seeds."""
