"""PEFT and transformers' Trainer on a job of ``benchmarks/tuning.py``; one line of JSON at the end.

Runs in the peer's environment. The first step is not measured.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model


def cores() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Clock(transformers.TrainerCallback):  # type: ignore[misc]
    """Begins to measure after the first step."""

    def __init__(self) -> None:
        self.began = self.wall = 0.0
        self.tokens = 0

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
        if state.global_step == 1:
            self.began, self.wall, self.tokens = cores(), time.perf_counter(), 0


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    transformers.utils.logging.set_verbosity_error()
    with open(asked["data"], encoding="utf-8") as file:
        texts = json.load(file)
    base = transformers.AutoModelForCausalLM.from_pretrained(asked["model"], dtype=torch.bfloat16)
    lora = LoraConfig(
        r=asked["rank"],
        lora_alpha=2 * asked["rank"],
        target_modules=list(asked["modules"]),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, lora)
    clock = Clock()

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        length = max(len(row["input_ids"]) for row in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            mask[number, : len(row["input_ids"])] = 1
        clock.tokens += int(mask.sum())
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": ids.masked_fill(mask == 0, -100),
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=asked["batch"],
            max_steps=asked["steps"] + 1,
            learning_rate=asked["rate"],
            lr_scheduler_type="cosine",
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_num_workers=0,
            remove_unused_columns=False,
        )
        trainer = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=[{"input_ids": ids} for ids in texts],
            data_collator=collate,
            callbacks=[clock],
        )
        trainer.train()
    print(
        json.dumps(
            {
                "tokens": clock.tokens,
                "core_seconds": cores() - clock.began,
                "seconds": time.perf_counter() - clock.wall,
            }
        )
    )


if __name__ == "__main__":
    main()
