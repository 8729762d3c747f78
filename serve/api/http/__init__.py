"""HTTP without a word of any API: connections, bounds, bodies and answers as bytes."""
