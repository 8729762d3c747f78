"""Reading of audit logs, offline and in a stream: joined records, queries, checks and exports."""
