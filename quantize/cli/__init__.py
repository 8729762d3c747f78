"""What the command line of ``python -m quantize`` takes and prints."""
