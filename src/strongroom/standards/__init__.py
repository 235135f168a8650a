"""Ids of public frameworks as data, and the crosswalk from threats to controls and our state.

What may enter: ids read in their source. Never sentences of a framework.
"""
