"""Students: small models that may be handed out, made from a teacher that may not.

- ``plan``: what is to be asked, granted and held to, and the refusals of what is not granted;
- ``division``: which of the owner's records serve for what;
- ``answers``: the teacher's answers, from behind its metered target; ``votes``: noisy ones of an
  ensemble (PATE);
- ``making``: the student; ``leakage``: what it tells of the teacher's training records;
  ``similarity``: whether it holds the teacher's tensors; ``gate``: all that it must pass, of
  ``checks``; ``cells``: its attacks in an exposure matrix;
- ``statement``: the outcome, signed;
- ``language``: students of language models.

The teacher is asked through a closed target of ``exposure``; its answers stay in memory. Imports
``exposure``, ``provenance`` and ``report``, torch, transformers; never the gateway, the keeper or
the command line.
"""
