"""Recipes of the models that ``strongroom audit demo`` measures, and their cache."""
