"""nanogcg on one goal: a JSON goal and seconds in, loss before and after and core-seconds out."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

GOAL = json.loads(sys.argv[1])
torch.set_num_threads(1)


class Spent(Exception):
    """The core-seconds are up."""


def main() -> None:
    import nanogcg
    from nanogcg import gcg

    logging.getLogger("nanogcg").setLevel(logging.ERROR)
    model = AutoModelForCausalLM.from_pretrained(GOAL["folder"], dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(GOAL["folder"])
    seen: list[float] = []
    began = time.process_time()

    class Watched(gcg.AttackBuffer):
        """The buffer that nanogcg keeps, which tells its best loss at each step."""

        def log_buffer(self, tokenizer: object) -> None:
            seen.append(float(self.get_lowest_loss()))
            if time.process_time() - began > GOAL["seconds"]:
                raise Spent

    gcg.AttackBuffer = Watched
    config = nanogcg.GCGConfig(
        num_steps=10_000,
        optim_str_init=GOAL["start"],
        search_width=GOAL["width"],
        topk=GOAL["top"],
        seed=GOAL["seed"],
        use_prefix_cache=False,
        verbosity="ERROR",
    )
    messages = [{"role": "user", "content": GOAL["question"] + "{optim_str}"}]
    with contextlib.suppress(Spent):
        nanogcg.run(model, tokenizer, messages, GOAL["answer"], config)
    spent = time.process_time() - began
    print(
        json.dumps({"first": seen[0], "last": min(seen), "seconds": spent, "steps": len(seen) - 1})
    )


main()
