"""Which weights there are, where they are, and whether they are whole. No torch outside models/demo."""
