"""llama.cpp beside us, run by an interpreter of its own that has llama-cpp-python.

``write_gguf.py`` and ``worker.py`` are programs for that interpreter: they import nothing of ours.
"""
