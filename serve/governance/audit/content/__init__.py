"""Contents of calls beside the log, encrypted under a key of each subject's own."""
