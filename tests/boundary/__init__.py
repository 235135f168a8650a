"""The boundary's tests: the codec and its limits."""
