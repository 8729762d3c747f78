"""The command line: flags, start-up banner, progress bars, the terminal chat, the keys commands."""
