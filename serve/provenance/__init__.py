"""The weights before an engine loads them: fetched where that is allowed, and proven."""
