"""The vLLM engine: vLLM in processes of its own, and what keeps them whole and within bounds."""
