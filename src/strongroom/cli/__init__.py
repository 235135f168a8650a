"""The command line: one file a verb. May import anything; nobody imports it."""
