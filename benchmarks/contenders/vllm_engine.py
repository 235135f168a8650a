"""vLLM's CPU build, eager, as a contender of the engine bench: a worker driven over pipes.

It reads one JSON object a line (``prompts``, ``new``, ``interval``) and answers each with the
arrival, first-token and finishing times of every request, in seconds of its own clock, and the
number of tokens. It needs an environment of its own (``peers.py``) and shares no process with the
others, since it binds its threads to cores.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def serve(engine: Any, prompts: list[list[int]], new: int, interval: float) -> dict[str, Any]:
    """Admit each prompt when it arrives; step whenever there is something to do."""
    from vllm import SamplingParams

    greedy = SamplingParams(temperature=0, max_tokens=new, min_tokens=new, ignore_eos=True)
    start = time.perf_counter()
    arrived = [start + interval * number for number in range(len(prompts))]
    first, done = [0.0] * len(prompts), [0.0] * len(prompts)
    coming, produced = 0, 0
    while not all(done):
        while coming < len(prompts) and arrived[coming] <= time.perf_counter():
            engine.add_request(str(coming), {"prompt_token_ids": prompts[coming]}, greedy)
            coming += 1
        if not engine.has_unfinished_requests():
            time.sleep(0.001)
            continue
        for answer in engine.step():
            now, number = time.perf_counter(), int(answer.request_id.partition("-")[0])
            if answer.outputs[0].token_ids:
                first[number] = first[number] or now
            if answer.finished:
                done[number] = now
                produced += len(answer.outputs[0].token_ids)
    return {"arrived": arrived, "first": first, "done": done, "tokens": produced}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the library prints does not mix with answers
    from vllm import EngineArgs, LLMEngine

    engine = LLMEngine.from_engine_args(
        EngineArgs(
            sys.argv[1],
            dtype="bfloat16",
            enforce_eager=True,
            max_model_len=512,
            enable_prefix_caching=False,
            disable_log_stats=True,
        )
    )
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(serve(engine, **json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
