"""Which weights there are, where they are, are they whole. No torch outside models/demo."""
