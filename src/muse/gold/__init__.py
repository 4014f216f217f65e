"""Gold standards: raters' traces fused to one signal, and classes made from signals."""
