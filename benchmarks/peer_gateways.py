"""The peers of the door, each before the same HTTP mock, each on one core, with a key and a rate.

- The mock is nginx, which answers every chat request with one canned answer, or with 64 canned
  events in one body where the path says so.
- LiteLLM's proxy: one worker, a master key, no database, OpenTelemetry's packages installed.
- Envoy: one worker thread; RBAC on the header of the key, a local rate limit, the router.
- nginx: one worker; a map of keys, ``limit_req``, kept-alive connections to the mock.

All are pinned: LiteLLM and Envoy by the SHA-256 of their wheels, nginx by Debian's signature.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".bench-venv"
KEY = "sk-bench-0123456789abcdef0123456789abcdef"
MODEL = "mock"
CHUNKS = 64
PEER_CORE, LOAD_CORE = 0, 1

PINNED = {
    "litellm": "peers_door.litellm.txt",
    "envoy": "peers_door.envoy.txt",
}


def interpreter(peer: str) -> Path:
    """The Python of the peer's own environment; makes it first if need be."""
    home = ENVIRONMENTS / peer
    python, done = home / "bin" / "python", home / "door-installed"
    pinned = Path(__file__).with_name(PINNED[peer])
    if not done.exists() or done.read_text() != pinned.read_text():
        print(f"installing {peer} into {home} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "--no-deps"]
        only = ["--only-binary", ":all:", "-r", str(pinned)]
        subprocess.run([*install, *only], check=True)
        done.write_text(pinned.read_text())
    return python


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """A process in a folder of its own, on one core, that answers chat requests."""

    name = ""
    path = "/v1/chat/completions"
    stream_path = "/v1/chat/completions"
    key = KEY
    core = PEER_CORE

    def __init__(self, folder: Path, mock_port: int) -> None:
        self.folder, self.mock_port = folder, mock_port
        self.port = mock_port if isinstance(self, Mock) else free_port()
        folder.mkdir()

    @classmethod
    def lacks(cls) -> str:
        """Why it cannot run here; empty if it can."""
        return ""

    def command(self) -> list[str]:
        """Writes what configures it; how it is started."""
        raise NotImplementedError

    def start(self, seconds: float = 90) -> None:
        """Start it, and wait until it answers."""
        core = self.core
        with (self.folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment()},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
                start_new_session=True,
            )
        until = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                said = (self.folder / "out").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} did not start: {said}")
            time.sleep(0.2)

    def environment(self) -> dict[str, str]:
        """Variables it is started with."""
        return {}

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Say."}], "max_tokens": 1}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}",
            json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {self.key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class _Nginx(Peer):
    @classmethod
    def lacks(cls) -> str:
        found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        return "" if found else "nginx is not installed (Debian: apt install nginx-light)"

    def http(self) -> str:
        """What stands in ``http``."""
        raise NotImplementedError

    def command(self) -> list[str]:
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/pid; error_log stderr error;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; keepalive_requests 100000000;\n"
            + "".join(
                f"{kind}_temp_path {self.folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + self.http()
            + "}\n"
        )
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        return [nginx, "-p", str(self.folder), "-c", str(config), "-e", "stderr"]


class Mock(_Nginx):
    """What stands behind all HTTP peers: canned answers, on the load's core."""

    name = "the mock itself"
    stream_path = "/stream/chat/completions"
    core = LOAD_CORE

    def http(self) -> str:
        whole = {
            "id": "chatcmpl-0123456789abcdef01234567",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "logprobs": None,
                    "finish_reason": "length",
                    "message": {"role": "assistant", "content": "a", "refusal": None},
                }
            ],
            "usage": {"prompt_tokens": 24, "completion_tokens": 1, "total_tokens": 25},
        }
        chunk = {**whole, "object": "chat.completion.chunk"}
        del chunk["usage"]
        events = []
        for number in range(CHUNKS):
            delta = {"content": "a"} if number else {"role": "assistant", "content": "a"}
            last = "length" if number == CHUNKS - 1 else None
            choice = {"index": 0, "logprobs": None, "finish_reason": last, "delta": delta}
            events.append("data: " + json.dumps({**chunk, "choices": [choice]}) + "\n\n")
        events.append("data: [DONE]\n\n")
        # nginx takes no parameter of more than 4 KiB.
        parts = ["".join(events[at : at + 8]) for at in range(0, len(events), 8)]
        sets = "".join(f"set $part{number} '{part}';\n" for number, part in enumerate(parts))
        all_parts = "".join(f"${{part{number}}}" for number in range(len(parts)))
        return (
            f"server {{ listen 127.0.0.1:{self.port} backlog=1024;\n"
            "location /v1/ { default_type application/json;\n"
            f"return 200 '{json.dumps(whole)}'; }}\n"
            "location /stream/ { default_type text/event-stream;\n"
            f"{sets} return 200 '{all_parts}'; }} }}\n"
        )


class Nginx(_Nginx):
    """nginx as a gateway: a map of keys and ``limit_req``."""

    name = "nginx, key map and limit_req"
    stream_path = "/stream/chat/completions"

    def http(self) -> str:
        return (
            "map_hash_bucket_size 256;\n"
            f'map $http_authorization $known {{ default 0; "Bearer {KEY}" 1; }}\n'
            "limit_req_zone $http_authorization zone=keys:10m rate=1000000r/s;\n"
            f"upstream mock {{ server 127.0.0.1:{self.mock_port}; keepalive 256;\n"
            "keepalive_requests 100000000; }\n"
            f"server {{ listen 127.0.0.1:{self.port} backlog=1024; location / {{\n"
            "if ($known = 0) { return 401; }\n"
            "limit_req zone=keys burst=100000 nodelay;\n"
            'proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";\n'
            "} }\n"
        )


class Envoy(Peer):
    """Envoy with RBAC on the key's header and a local rate limit."""

    name = "Envoy, key check and local rate limit"
    stream_path = "/stream/chat/completions"

    def command(self) -> list[str]:
        bucket = {"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "1s"}
        share = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        header = {"name": "authorization", "string_match": {"exact": f"Bearer {KEY}"}}
        rules = {"any": {"permissions": [{"any": True}], "principals": [{"header": header}]}}
        filters = [
            _filter("rbac.v3.RBAC", "rbac", rules={"action": "ALLOW", "policies": rules}),
            _filter(
                "local_ratelimit.v3.LocalRateLimit",
                "local_ratelimit",
                stat_prefix="limit",
                token_bucket=bucket,
                filter_enabled=share,
                filter_enforced=share,
            ),
            _filter("router.v3.Router", "router"),
        ]
        route = {"match": {"prefix": "/"}, "route": {"cluster": "mock", "timeout": "30s"}}
        manager = {
            "@type": _TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "http_filters": filters,
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
            },
        }
        chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        cluster = {
            "name": "mock",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "mock",
                "endpoints": [{"lb_endpoints": [{"endpoint": _address(self.mock_port)}]}],
            },
        }
        listener = {"name": "in", **_address(self.port), "filter_chains": [{"filters": chain}]}
        config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
        (self.folder / "envoy.json").write_text(json.dumps(config))
        interpreter("envoy")
        site = next((ENVIRONMENTS / "envoy" / "lib").glob("python*")) / "site-packages"
        binary = next(site.glob("envoy/_bin/envoy"))
        how = ["--concurrency", "1", "--log-level", "error", "--base-id", str(os.getpid() % 10**6)]
        return [str(binary), "-c", str(self.folder / "envoy.json"), *how]


class Bare(Peer):
    """uvicorn with an application that reads the body and sends one canned answer: the floor under
    every gateway that uvicorn carries, ours among them. It asks nobody.
    """

    name = "bare uvicorn, no work at all"

    def command(self) -> list[str]:
        (self.folder / "bare.py").write_text(
            "BODY = b'x' * 330\n"
            "HEAD = [(b'content-type', b'application/json'), (b'content-length', b'330')]\n"
            "async def app(scope, receive, send):\n"
            "    await receive()\n"
            "    await send({'type': 'http.response.start', 'status': 200, 'headers': HEAD})\n"
            "    await send({'type': 'http.response.body', 'body': BODY})\n"
        )
        how = ["--http", "httptools", "--loop", "uvloop", "--lifespan", "off", "--no-access-log"]
        quiet = ["--ws", "none", "--log-level", "error", "--port", str(self.port)]
        return [sys.executable, "-m", "uvicorn", "bare:app", *how, *quiet]


class LiteLLM(Peer):
    """LiteLLM's proxy with one worker and a master key."""

    name = "LiteLLM"

    def command(self) -> list[str]:
        target = {"model": f"openai/{MODEL}", "api_key": "none"}
        at = f"http://127.0.0.1:{self.mock_port}"
        config = {
            "model_list": [
                {"model_name": MODEL, "litellm_params": {**target, "api_base": f"{at}/v1"}},
                {"model_name": "stream", "litellm_params": {**target, "api_base": f"{at}/stream"}},
            ],
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"drop_params": True, "set_verbose": False},
        }
        (self.folder / "config.yaml").write_text(json.dumps(config))
        python = interpreter("litellm")
        how = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(self.port)]
        return [
            str(python.with_name("litellm")),
            *how,
            "--num_workers",
            "1",
            "--telemetry",
            "False",
        ]

    def environment(self) -> dict[str, str]:
        return {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PATH": f"{ENVIRONMENTS / 'litellm' / 'bin'}:{os.environ.get('PATH', '')}",
        }


_TYPE = "type.googleapis.com/envoy.extensions.filters."


def _filter(kind: str, name: str, **config: object) -> dict[str, object]:
    typed = {"@type": f"{_TYPE}http.{kind}", **config}
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}


def _address(port: int) -> dict[str, object]:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
