"""What an attack is given: one narrow object a rung.

What may enter: callables over a model, or the address of a served door. What leaves is the rung's
answers and nothing else, copied and counted.
"""
