"""Schemas of structured output: what operators register, compiled to automata over bytes.

``subset`` reads a schema and refuses what is not bounded. ``language`` spells its values as JSON in
terms of ``regular``, which holds the automata; ``compiling`` is the way from text to a
``boundary.automaton``. Pure: no files, no tokenizer. Nothing here runs on what a caller sent but
the comparison with a registered schema (``canonical``).
"""
