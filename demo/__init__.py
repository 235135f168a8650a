"""The demonstration: a real model sealed, served and attacked on the machine of whoever runs it.

``model`` and ``classifiers`` make the models, ``stage`` drives the real command line, ``attacks``
holds one attack a file, ``run`` tells the story. Nothing here is part of the installed package, and
nothing here opens a door in it: what an attack needs, it takes from outside.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout; child processes run there, so that they find this package."""
