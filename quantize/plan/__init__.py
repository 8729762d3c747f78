"""What will be done, from names and shapes alone; no weights are read here."""
