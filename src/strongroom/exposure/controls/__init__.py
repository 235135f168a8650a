"""Controls of every family: models that leak on purpose, and models with nothing to leak.

What may enter: data made from a seed. What leaves: targets of the usual kinds.
"""
