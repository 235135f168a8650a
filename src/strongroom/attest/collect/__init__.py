"""Collectors of evidence: one file a device, run inside the machine that is to be attested."""
