"""The attacks, one a file; ``registry`` names them all.

What may enter: targets, knowledge and budgets. Never the truth, which is with the judges.
"""
