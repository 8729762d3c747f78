"""Records of the audit log: what they say, when they are written, and how a log is kept in use."""
