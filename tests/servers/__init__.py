"""Real PostgreSQL and Redis servers, started by the tests and reached by unix sockets alone."""
