"""The keeper's own tests: meter, disclosure, sessions, the process end to end."""
