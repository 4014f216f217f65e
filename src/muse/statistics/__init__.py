"""Statistics: paired tests of systems, over recordings and over seeds."""
