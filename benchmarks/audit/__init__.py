"""The audit log's cost: the same load on servers that differ in what they record."""
