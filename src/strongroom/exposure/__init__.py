"""The exposure matrix: what an attacker gains when a model is exposed at a given rung.

What may enter: models, data and answers of a target. What this room touches: torch for attacks
that need it, and the served door only over HTTP, as any customer would.
"""
