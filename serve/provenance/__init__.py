"""The weights before an engine may have them: fetched where that is allowed, and proven."""
