"""``strongroom watermark``: marks in answers, and how to find them again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options
from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.watermark.interface import Scheme

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_TEXT = 4 * 1024 * 1024


@click.group("watermark")
def command() -> None:
    """Mark the answers of a language model, and find the mark.

    Answers carry one only where [watermark] in strongroom.toml names the organisation.
    """


@command.command("secret")
@shared_options
@click.pass_obj
def secret(call: Call) -> None:
    """Make the secret that all marks follow from.

    Keep a copy elsewhere: without it no mark can be found, and who has it can find, forge and
    remove all of them.
    """
    from strongroom.cli.home import open_home
    from strongroom.keys import private_file
    from strongroom.watermark.keys import SECRET_BYTES

    path = Path(open_home(call.home_path).watermark.secret)
    private_file.write_private(path, os.urandom(SECRET_BYTES), replace=False)
    if call.json:
        output.print_json({"secret": str(path)})
        return
    click.echo(f"Wrote {path}. Keep a copy of it elsewhere.")
    output.note("Name the organisations in [watermark] of strongroom.toml to mark their answers.")


@command.command("detect")
@click.argument("model", type=_FOLDER)
@click.argument("text", type=_FILE)
@click.option("--org", "tenants", multiple=True, help="Whose mark to look for; may be repeated.")
@click.option("--scheme", type=click.Choice(["kgw", "synthid"]), help="Instead of the configured.")
@shared_options
@click.pass_obj
def detect(
    call: Call, model: Path, text: Path, tenants: tuple[str, ...], scheme: Scheme | None
) -> None:
    """Look for a mark in TEXT, an answer without its prompt.

    MODEL is the plain folder, for its tokenizer. Without --org it looks for every organisation that
    strongroom.toml names. The p-value is corrected for how many were tried.
    """
    from strongroom.cli.home import open_home
    from strongroom.keeper.marking import read_secret
    from strongroom.watermark.detect import detect as look
    from strongroom.watermark.detect import strongest

    watermark = open_home(call.home_path).watermark
    named = watermark.tenants
    tried = tenants or tuple(name for name in named if name != "*")
    if not tried:
        raise ConfigurationRefused(
            "cli.watermark_nobody",
            "strongroom.toml names no organisation whose mark could be looked for.",
            action="Say which with --org.",
        )
    key = read_secret(watermark)
    _, ids, vocabulary = cut(model, text)
    found = strongest(
        look(key, name, scheme or named.get(name) or named.get("*", "synthid"), ids, vocabulary)
        for name in tried
    )
    facts = {
        "organisation": found.tenant,
        "scheme": found.scheme,
        "scored": found.scored,
        "z": round(found.z, 2),
        "p": float(f"{found.p:.3g}"),
        "tried": len(tried),
    }
    if call.json:
        output.print_json(facts)
        return
    output.print_facts({name: str(value) for name, value in facts.items()})
    output.note("p is the chance of such a text from anybody who did not have the key.")


def cut(model: Path, text: Path) -> tuple[str, list[int], int]:
    """The text in the file ``text``, its ids, and how many tokens the model in the folder has.

    Raises:
        ConfigurationRefused: ``cli.watermark_unreadable``.
    """
    import msgspec
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        config = msgspec.json.decode((model / "config.json").read_bytes(), type=dict[str, object])
        vocabulary = config["vocab_size"]
        with text.open("rb") as file:
            words = file.read(_MOST_TEXT).decode()
    except Exception:
        vocabulary = None
    if not isinstance(vocabulary, int):
        raise ConfigurationRefused(
            "cli.watermark_unreadable",
            "The text, or the model's tokenizer.json or config.json, cannot be read.",
            action="Give the plain model's folder and a text in UTF-8.",
        )
    return words, tokenizer.encode(words, add_special_tokens=False).ids, vocabulary
