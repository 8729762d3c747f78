"""An emulator of the Hugging Face Hub on loopback, for the real client to talk to."""
