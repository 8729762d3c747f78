"""The audit log on the disk: a durable journal, and the tiles that anyone can verify."""
