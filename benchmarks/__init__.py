"""Measurements, one command per claim; see README.md. A package: none of a dependency hides it."""
