"""Several systems in one run, in turn: ratios that mean something."""
