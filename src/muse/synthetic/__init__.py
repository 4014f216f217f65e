"""Simulated packages and raters."""
