"""The digits classifier as a teacher, with its owner's records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongroom.distil.division import Division, divide
from strongroom.distil.making import Workshop
from strongroom.distil.plan import Grants, Limits, Plan
from strongroom.exposure.data import Split
from strongroom.exposure.demo.classifier import DemoClassifier, demo_classifier
from strongroom.exposure.interface import Records
from strongroom.exposure.model import Classifier

GRANTED = Grants(soft_labels=True)
LIMITS = Limits(tpr=0.04)
"""The rate of an innocent student of this size is 0.01 to 0.03, by luck."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def demo(cache: Path) -> DemoClassifier:
    return demo_classifier("digits", cache / "exposure")


@pytest.fixture(scope="session")
def split(demo: DemoClassifier) -> Split:
    records = (demo.candidates, demo.attacker, demo.held)
    inputs = np.concatenate([part.inputs for part in records])
    labels = np.concatenate([part.labels for part in records])
    member = np.zeros(len(labels), dtype=bool)
    member[: len(demo.members)] = demo.members
    return Split(Records(inputs, labels), member)


@pytest.fixture(scope="session")
def division(split: Split) -> Division:
    return divide(split, 0)


@pytest.fixture(scope="session")
def teacher(demo: DemoClassifier) -> Classifier:
    return Classifier(demo.module, (64,), (0.0, 16.0), tuple(map(str, range(10))))


def plan(**changes: Any) -> Plan:
    given = {"teacher": "0" * 64, "model": "digits", "records": "0" * 64, "queries": 450}
    return Plan(**{**given, "limits": LIMITS, **changes})


@pytest.fixture(scope="session")
def workshop(demo: DemoClassifier, teacher: Classifier, division: Division) -> Workshop:
    return Workshop(plan(), teacher, demo.config, division, teachers=8)
