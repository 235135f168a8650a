"""Proof that a copy is a copy: fingerprints of weights, compared against independent models.

What may enter: tensors, configurations and tokenizers of decoders, from a sealed model that its
owner opened or from the folder of a suspect. Nothing here decides against anybody by itself: a
comparison gives a figure, what it is for models that have nothing to do with each other, and what
it does not prove.
"""
