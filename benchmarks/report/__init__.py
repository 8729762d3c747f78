"""Reports of what was measured, for people and for programs: table, JSON, HTML, PNG."""
