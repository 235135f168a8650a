"""Trainers of others, for students of what the served door answers."""
