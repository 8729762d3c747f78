"""The transformers engine: continuous batching of Hugging Face models, on a CPU or a GPU.

The step loop and what it calls lie here; ``loader/`` brings weights into memory, ``layers/`` are
the modules that stand in a loaded model, ``kernels/`` the compiled loops that they run on a CPU.
"""
