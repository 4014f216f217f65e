"""Pretrained networks whose architecture no dependency has: only what their features need.

The names of the weights are those of the published safetensors. Shapes: B batch, H and W pixels.
"""
