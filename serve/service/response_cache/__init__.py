"""The response cache: whole answers, given again to the same tenant for the very same request."""
