"""Attacks on the system around a model: its sealed files, its door, its keeper's own socket.

``sealed_edit`` and ``planted_backdoors`` alter; ``sponge`` and ``many_keys`` burn; ``exfiltration``
carries out; ``tenant_timing`` listens to the clock. What may enter: the targets of
``targets.system``, and budgets.
"""
