"""One request's life, whatever brought it: HTTP, or a caller within the process."""
