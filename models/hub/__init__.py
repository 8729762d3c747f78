"""Models from the Hub, a mirror or a folder into the store."""
