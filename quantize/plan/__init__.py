"""The plan of a quantisation, from names and shapes alone; no weights are read here."""
