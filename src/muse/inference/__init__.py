"""A finished run applied to a package."""
