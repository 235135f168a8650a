"""Students of language models.

- ``plan``: what is to be asked, granted and held to;
- ``division``: which of the owner's texts serve for what;
- ``vocabulary``: the student's tokens, its own or some of the teacher's;
- ``answers``: the teacher behind a closed target that counts positions, coordinates and bits;
- ``making``: asking and training; ``training``: the loop;
- ``folder``: a student as the plain folder that is handed out, and how to open it;
- ``utility``: how well it predicts, beside its teacher; ``words``: how many it foretells;
- ``gate``: all that it must pass: ``leakage`` of texts and secrets, ``similarity`` to the teacher's
  weights, ``transfer`` of suffixes, ``overlap`` of its corpus.

A student in hand is a ``LanguageModel`` of ``exposure``, as its teacher is: what attacks one
attacks the other. Answers stay in memory. Imports ``exposure``, ``provenance`` and ``report``,
torch, tokenizers and transformers; nothing here opens a sealed model or writes to the record.
"""
