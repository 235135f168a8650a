"""``strongroom distil`` for language models: the plan, the workshop, the run, the demonstration."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli import output
from strongroom.cli.call import Call

if TYPE_CHECKING:
    from strongroom.cli.audit_opening import Opened
    from strongroom.cli.home import Home
    from strongroom.distil.language.making import LanguageWorkshop
    from strongroom.distil.language.plan import Asked, LanguagePlan

_NPZ = b"PK"
_PAUSE = 10.0
"""Seconds between two lines of progress where nobody watches a bar."""


def is_language(data: Path) -> bool:
    """Whether the owner's records are texts; a classifier's are an archive of arrays."""
    from strongroom.exposure.reasons import refuse

    try:
        with data.open("rb") as file:
            return file.read(2) != _NPZ
    except OSError as error:
        raise refuse("exposure.data_unreadable", path=data, why=error.strerror) from None


def planned(
    teacher: tuple[str, str],
    digests: tuple[str, str | None],
    answers: str,
    positions: int,
    choices: tuple[str, str],
    grants: tuple[str, ...],
    seed: int,
) -> LanguagePlan:
    """A granted plan with the defaults of all that is not given.

    Args:
        teacher: digest of its manifest, and its name.
        digests: of the records and of the corpus.
        answers: what the teacher tells.
        positions: at most.
        choices: of tokenizer and of beginning.
        grants: by their names on the command line.
        seed: of all that is random.

    Raises:
        ExposureRefused: as ``LanguagePlan.require_granted``; ``distil.plan_unfit``.
    """
    from strongroom.distil.language.plan import LanguageGrants, LanguagePlan
    from strongroom.distil.reasons import refuse

    if answers == "votes":
        raise refuse("distil.plan_unfit", why="a language model has no votes")
    kind: Any = answers
    tokenizer: Any = choices[0]
    init: Any = choices[1]
    made = LanguagePlan(
        *teacher,
        *digests,
        answers=kind,
        tokenizer=tokenizer,
        init=init,
        grants=LanguageGrants(
            "soft-labels" in grants, "teacher-tensors" in grants, "teacher-tokenizer" in grants
        ),
        seed=seed,
    )
    made.require_granted()
    return made.declaring(positions)


@contextmanager
def language_workshop(
    call: Call,
    sealed: Path,
    plan: LanguagePlan,
    data: Path,
    corpus: Path | None,
    passphrase_file: Path | None,
) -> Iterator[tuple[Home, LanguageWorkshop]]:
    """The teacher and the texts of ``plan``, while the block runs.

    Raises:
        ExposureRefused: ``distil.plan_unfit``, ``distil.beyond_ceiling``, or what is wrong with
            model or texts.
    """
    from strongroom.cli.audit_opening import opened
    from strongroom.cli.auditing_language import sealed_language_model
    from strongroom.cli.distilling import digest
    from strongroom.cli.home import open_home
    from strongroom.distil.language.division import divide
    from strongroom.distil.language.making import LanguageWorkshop
    from strongroom.distil.reasons import refuse
    from strongroom.exposure.data import read_corpus

    home = open_home(call.home_path)
    with opened(home, sealed, passphrase_file) as model:
        if model.digest != plan.teacher:
            raise refuse("distil.plan_unfit", why="it was made for another teacher")
        if digest(data) != plan.records:
            raise refuse("distil.plan_unfit", why="it was made for other records")
        if (None if corpus is None else digest(corpus)) != plan.corpus:
            raise refuse("distil.plan_unfit", why="it was made for another corpus (--corpus)")
        _require_below_ceiling(plan.asked, model)
        public = None if corpus is None else read_corpus(corpus)
        division = divide(read_corpus(data), public, plan.seed)
        yield home, LanguageWorkshop(plan, sealed_language_model(model), division)


def _require_below_ceiling(asked: Asked, model: Opened) -> None:
    """What is declared could leave within an hour: then it is no more than anybody gets."""
    from strongroom.distil.reasons import refuse

    sealed = [each for each in (model.deployment, model.tenant) if each is not None]
    for ceiling in sealed:
        most = min(ceiling.bits_per_hour, ceiling.bits_per_day)
        if asked.bits > most:
            raise refuse("distil.beyond_ceiling", bits=asked.bits, most=most)


def run_language(
    call: Call,
    sealed: Path,
    plan: LanguagePlan,
    student: Path,
    data: Path,
    corpus: Path | None,
    passphrase_file: Path | None,
) -> Asked:
    """Ask the teacher, train, and write the new folder; gives what was told."""
    from strongroom.cli.audit import write_file
    from strongroom.cli.distilling import make_folder
    from strongroom.distil.language.folder import Told, files_of

    with language_workshop(call, sealed, plan, data, corpus, passphrase_file) as (_, shop):
        target = shop.target()
        with telling(call) as tell:
            lessons = shop.lessons(target, lambda at, most: tell(at, most, "asking the teacher"))
        with telling(call) as tell:
            made = shop.trained(
                lessons, lambda at, most, loss: tell(at, most, f"training, loss {loss:.2f}")
            )
        asked: Asked = target.spent()
    make_folder(student)
    for name, content in files_of(made, Told(plan.digest, asked)).items():
        write_file(student / name, content)
    return asked


@contextmanager
def telling(call: Call) -> Iterator[Callable[[int, int, str], None]]:
    """A bar with the time left on a terminal; elsewhere a line now and then that says it."""
    from strongroom.cli import audit_showing

    watched = sys.stderr.isatty()
    began = last = time.monotonic()
    with audit_showing.telling(quiet=call.json) as progress:

        def tell(done: int, total: int, what: str) -> None:
            nonlocal last
            now = time.monotonic()
            if progress is None or not (watched or now - last >= _PAUSE or done >= total):
                return
            last = now
            left = (now - began) / max(done, 1) * max(total - done, 0)
            progress(done, total, what if watched else f"{what}, {_lasting(left)} left")

        yield tell


def _lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def write_language_demo(folder: Path) -> dict[str, Path]:
    """The demonstration's language model in FOLDER/plain, its owner's texts, and public ones.

    Raises:
        ExposureRefused: ``exposure.demo_base_missing``.
    """
    import shutil

    from strongroom.cli.audit import write_file
    from strongroom.cli.distilling import make_folder
    from strongroom.exposure.demo.language import SEED, demo_corpus, ensure_demo_language
    from strongroom.exposure.demo.public_texts import docstrings

    model, owner = ensure_demo_language(say=output.note), demo_corpus()
    plain, records, corpus = folder / "plain", folder / "records.jsonl", folder / "corpus.jsonl"
    make_folder(folder)
    make_folder(plain)
    for path in sorted(model.iterdir()):
        shutil.copyfile(path, plain / path.name)
    texts = [{"text": each.text, "member": each.member} for each in owner.texts]
    canaries = [
        {"prefix": each.prefix, "secret": each.secret, "copies": each.copies}
        for each in owner.canaries
    ]
    write_file(records, _lines([*texts, *canaries]))
    write_file(corpus, _lines([{"text": each, "member": False} for each in docstrings(SEED)]))
    return {"plain": plain, "records": records, "corpus": corpus}


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
