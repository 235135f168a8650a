"""PEFT's ``adapter_names`` on the work of ``benchmarks/adapters.py``; one line of JSON at the end.

Runs in the peer's environment. One generation before the measured one warms everything up.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import torch
import transformers
from peft import LoraConfig, get_peft_model


def cores() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    transformers.utils.logging.set_verbosity_error()
    kind = getattr(torch, asked["type"])
    base = transformers.AutoModelForCausalLM.from_pretrained(asked["model"], dtype=kind)
    lora = LoraConfig(
        r=asked["rank"],
        lora_alpha=2 * asked["rank"],
        target_modules=list(asked["modules"]),
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    names = [f"adapter{number}" for number in range(asked["adapters"])]
    model = get_peft_model(base, lora, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, lora)
    model.to(kind).eval()
    ids = torch.tensor(asked["prompts"])
    rows = [names[row % len(names)] for row in range(len(ids))]
    found: dict[str, float] = {}
    for count in (2, asked["tokens"]):
        began, wall = cores(), time.perf_counter()
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=False,
                pad_token_id=0,
                adapter_names=rows,
            )
        tokens = (out.shape[1] - ids.shape[1]) * len(ids)
        found = {
            "tokens": tokens,
            "core_seconds": cores() - began,
            "seconds": time.perf_counter() - wall,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
