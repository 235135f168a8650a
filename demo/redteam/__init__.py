"""Other people's red-team tools, configured for the door."""
