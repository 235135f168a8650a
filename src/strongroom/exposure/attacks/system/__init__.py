"""Attacks on the served system: tampering, abuse, the exfiltration drill, timing.

What may enter: the address of a served door, copies of sealed files, budgets.
"""
