"""PEFT and transformers' Trainer at their usual settings, for ``benchmarks/tuning_utility.py``.

Runs in the peer's environment: float32, AdamW with the Trainer's own defaults (a rate that falls
linearly, clipping at 1, no weight decay), batches in the Trainer's order; one adapter a run is
saved in PEFT's format. The last line says how many processor seconds each run took.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model

AT_ONCE = 16
"""Texts in memory at once; a larger batch is accumulated."""


def cores() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Texts are of one length: nothing is padded."""
    ids = torch.tensor([row["input_ids"] for row in rows])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def train(asked: dict[str, Any], run: dict[str, Any], texts: list[list[int]]) -> float:
    """One run; its processor seconds."""
    began = cores()
    transformers.set_seed(run["seed"])
    base = transformers.AutoModelForCausalLM.from_pretrained(asked["model"], dtype=torch.float32)
    lora = LoraConfig(
        r=asked["rank"],
        lora_alpha=2 * asked["rank"],
        target_modules=list(asked["modules"]),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, lora)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=min(AT_ONCE, run["batch"]),
            gradient_accumulation_steps=max(1, run["batch"] // AT_ONCE),
            max_steps=run["steps"],
            learning_rate=run["rate"],
            seed=run["seed"],
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_num_workers=0,
            remove_unused_columns=False,
        )
        transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=[{"input_ids": ids} for ids in texts],
            data_collator=collate,
        ).train()
    model.save_pretrained(str(Path(asked["out"]) / run["name"]))
    return cores() - began


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    texts = json.loads(Path(asked["data"]).read_text(encoding="utf-8"))
    print(json.dumps({run["name"]: train(asked, run, texts) for run in asked["runs"]}))


if __name__ == "__main__":
    main()
