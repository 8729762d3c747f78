"""The page for browsers: a playground and the API reference. Static files, and what serves them."""
