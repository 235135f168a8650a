"""A student that TRL trains on what the served door answers, for `strongroom distil gate` to judge.

Run by the interpreter of an environment that has TRL (1.16.0 was tried) and Strongroom, after
``strongroom distil plan`` with ``--answers text``, while ``strongroom serve`` is running::

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=$(cat key.txt) \
        trl/bin/python demo/students/trl_texts.py MODEL plan.json student \
        --data records.jsonl --corpus corpus.jsonl

It is sequence-level distillation (Kim and Rush 2016): the official client asks how beginnings of
the corpus go on, until the plan's positions are used up or the door's limits refuse; ``SFTTrainer``
learns from corpus and answers. TRL's trainers that ask a server for a teacher's log-probabilities
have nothing to ask here: they send token ids to be scored, which the door refuses at every rung.
Answers stay in memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from openai import APIStatusError, OpenAI

from strongroom.distil.language.division import TextDivision, divide
from strongroom.distil.language.folder import Told, files_of
from strongroom.distil.language.making import fresh
from strongroom.distil.language.plan import LanguagePlan
from strongroom.distil.language.vocabulary import Vocabulary, own
from strongroom.distil.plan import read_plan
from strongroom.exposure.data import read_corpus
from strongroom.exposure.targets.in_process_language import LanguageModel

ASKED = "Continue this text and say nothing else:\n\n{}"


def request(plan: LanguagePlan, model: str, beginning: str) -> dict[str, Any]:
    """One question, as the official client sends it."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": ASKED.format(beginning)}],
        "max_tokens": plan.continuation,
        "temperature": min(plan.temperature, 2.0),
    }


def answers(
    client: OpenAI, model: str, plan: LanguagePlan, beginnings: list[str]
) -> tuple[list[str], int]:
    """Beginnings with what the teacher said to them, and the tokens that it said."""
    said: list[str] = []
    positions = 0
    for beginning in beginnings:
        if positions + plan.continuation > plan.asked.positions:
            break
        try:
            answer = client.chat.completions.create(**request(plan, model, beginning))
        except APIStatusError as error:
            print(f"The door refused after {len(said)} answers: {error.message}", file=sys.stderr)
            break
        positions += answer.usage.completion_tokens if answer.usage else plan.continuation
        said.append(f"{beginning} {answer.choices[0].message.content or ''}")
    return said, positions


def beginnings(plan: LanguagePlan, division: TextDivision, vocabulary: Vocabulary) -> list[str]:
    """The first tokens of each text of the corpus."""
    tokenizer = vocabulary.tokenizer
    rows = (tokenizer.encode(text).ids[: plan.prompt] for text in division.corpus)
    return [tokenizer.decode(ids).strip() for ids in rows]


def trained(plan: LanguagePlan, vocabulary: Vocabulary, texts: list[str]) -> Any:
    """The plan's network after its steps on ``texts``, by TRL."""
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    told = plan.schedule
    tokenizer: Any = PreTrainedTokenizerFast
    end = vocabulary.tokenizer.id_to_token(vocabulary.end)
    torch.manual_seed(plan.seed)
    rows = vocabulary.rows(texts, told.length).tolist()
    with tempfile.TemporaryDirectory() as work:
        trainer = SFTTrainer(
            model=fresh(plan, vocabulary),
            args=SFTConfig(
                output_dir=work,
                max_steps=told.steps,
                per_device_train_batch_size=told.batch,
                learning_rate=told.rate,
                lr_scheduler_type="cosine",
                warmup_steps=max(1, told.steps // 20),
                weight_decay=0.1,
                seed=plan.seed,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                report_to="none",
                logging_steps=20,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
            processing_class=tokenizer(
                tokenizer_object=vocabulary.tokenizer, eos_token=end, pad_token=end
            ),
        )
        trainer.train()
    return trainer.model.eval().requires_grad_(False)


def main() -> int:
    """Ask, train, and write the new folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="as the door calls it")
    parser.add_argument("plan", type=Path)
    parser.add_argument("student", type=Path, help="a folder that does not exist")
    parser.add_argument("--data", type=Path, required=True, help="the owner's records")
    parser.add_argument("--corpus", type=Path, help="public texts, where the plan has some")
    given = parser.parse_args()
    plan = read_plan(given.plan)
    if not isinstance(plan, LanguagePlan) or plan.answers != "text" or plan.tokenizer != "own":
        parser.error("the plan must be of a language model's student that learns from text")
    public = None if given.corpus is None else read_corpus(given.corpus)
    division = divide(read_corpus(given.data), public, plan.seed)
    vocabulary = own(division.corpus, plan.vocabulary)
    given.student.mkdir()
    said, positions = answers(OpenAI(), given.model, plan, beginnings(plan, division, vocabulary))
    print(f"{len(said)} answers, {positions} tokens.", file=sys.stderr)
    module = trained(plan, vocabulary, [*division.corpus, *said])
    student = LanguageModel(
        module, vocabulary.tokenizer, (vocabulary.end,), plan.architecture.context
    )
    told = Told(plan.digest, plan.declaring(positions).asked)
    for name, content in files_of(student, told).items():
        (given.student / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
