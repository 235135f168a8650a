"""garak and PyRIT, as ``demo/redteam`` configures them, ask nothing that the door refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from demo.redteam import pyrit_door

from .conftest import MODEL, Door

CONFIGURATION = Path(pyrit_door.__file__).with_name("garak.yaml")
OF_GARAK = {"temperature": 0.7, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
"""What the generator adds by itself (garak 0.17.1, ``generators/openai.py``), with ``n`` of 1."""


def generator() -> dict[str, Any]:
    plugins = yaml.safe_load(CONFIGURATION.read_text())["plugins"]
    module, name = plugins["target_type"].split(".")
    options: dict[str, Any] = plugins["generators"][module][name]
    return options


def asked(door: Door, **parameters: Any) -> str | None:
    answer = door.client().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hello"}], **parameters
    )
    return answer.choices[0].message.content


def test_what_both_send_is_answered_and_what_neither_may_send_is_refused(door: Door) -> None:
    options = generator()
    assert options.pop("uri").endswith("/v1/")
    assert asked(door, n=1, **OF_GARAK, **options)
    assert asked(door, **pyrit_door.TARGET)
    for name, value in (("seed", 7), ("n", 2)):
        with pytest.raises(openai.BadRequestError) as refused:
            asked(door, **{**OF_GARAK, "n": 1, **options, name: value})
        assert refused.value.body["param"] == name  # type: ignore[index, call-overload]


@pytest.mark.skipif(not importlib.util.find_spec("garak"), reason="garak is not installed")
def test_garak_finishes_a_probe_at_the_door(door: Door, tmp_path: Path) -> None:
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    at = f"{str(door.client().base_url).rstrip('/')}/"
    configuration["plugins"]["generators"]["openai"]["OpenAICompatible"]["uri"] = at
    (tmp_path / "garak.yaml").write_text(yaml.safe_dump(configuration))
    command = [sys.executable, "-m", "garak", "--config", "garak.yaml", "--target_name", MODEL]
    command += ["--spec", "probes.encoding.InjectROT13", "--report_prefix", str(tmp_path / "seen")]
    own = {"XDG_DATA_HOME": str(tmp_path), "OPENAICOMPATIBLE_API_KEY": door.key}
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **own}, check=True, timeout=300)
    lines = [json.loads(x) for x in (tmp_path / "seen.report.jsonl").read_text().splitlines()]
    judged = [line for line in lines if line["entry_type"] == "eval"]
    assert judged
    assert judged[0]["total_evaluated"] > 0


@pytest.mark.skipif(not importlib.util.find_spec("pyrit"), reason="PyRIT is not installed")
def test_pyrit_is_answered_at_the_door(door: Door, tmp_path: Path) -> None:
    own = {
        "OPENAI_CHAT_ENDPOINT": str(door.client().base_url).rstrip("/"),
        "OPENAI_CHAT_KEY": door.key,
        "OPENAI_CHAT_MODEL": MODEL,
        "HOME": str(tmp_path),
    }
    command = [sys.executable, str(pyrit_door.__file__)]
    done = subprocess.run(
        command, env={**os.environ, **own}, check=True, timeout=300, capture_output=True, text=True
    )
    assert done.stdout.count("->") == 2 * len(pyrit_door.OBJECTIVES)
