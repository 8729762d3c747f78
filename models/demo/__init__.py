"""The built-in demo model: its data generator, its trainer, its evaluation and its weights.

It is a toy that makes `make serve` answer on any laptop within seconds. It is not a model to rely
on. Nothing here may import `serve`; this is the one folder of `models/` that may import torch.
"""
