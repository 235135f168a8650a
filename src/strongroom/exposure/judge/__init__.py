"""Judges: they hold the truth that attacks may not see, and turn claims into figures.

What may enter: membership bits, canaries, held-out records, and the claims of attacks.
"""
