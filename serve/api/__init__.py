"""HTTP words only: routes, wire formats, status codes, server-sent events."""
