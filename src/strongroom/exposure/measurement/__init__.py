"""Statistics of the exposure matrix: numbers in, estimates with intervals out.

What may enter: arrays of scores, counts, seeds. Nothing here knows a model, a target or a file.
"""
