"""From token ids back to a conversation, and whether they are one: ADR 22.

Clients send ids where the rest of this service takes text, and an id may be a control token. So ids
count for nothing by themselves:

1. They are divided at control tokens, and what stands between is decoded. The pieces are compared
   with what the owner's template writes around messages of every order of roles that fits; what is
   left over are the messages' texts.
2. The service encodes these messages as it encodes any. Ids that are not, one by one, those that
   came out are refused. So whatever step 1 took them for, no control token is ever anywhere but
   where the owner's template puts it, and nothing is learnt that a file could not have brought.
3. What is learnt are tokens that a file's assistant would be learnt from, all or some.
4. Ids that are those of a bare prompt are a plain text: it can be completed, but not learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, get_args

from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.primitives.wire import WireDatum
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.schema import Message, Role
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.tune.chat_lines import Turn, fault
from strongroom.tune.dataset import Example, mark
from strongroom.tune.policy import Policy

_MOST_TURNS: Final = 64
_MOST_KEPT: Final = 512
_MOST_LOOKS: Final = 4 * _MOST_TURNS
"""Orders of roles that are tried; each turn has three, of which one fits where they differ."""

Roles = tuple[Role, ...]


class _Stretch(NamedTuple):
    """What the template writes behind ``control``: ``before``, a message if any, ``after``."""

    control: int | None
    before: str
    message: bool
    after: str


class Conversations:
    """Reads ids by the served model's template and tokenizer."""

    def __init__(self, template: ChatTemplate, tokenizer: ModelTokenizer) -> None:
        self._template, self._tokenizer = template, tokenizer
        self._controls = frozenset(tokenizer.control_tokens.values())
        self._written = lru_cache(_MOST_KEPT)(self._write)

    def asked(self, ids: Sequence[int]) -> tuple[tuple[Message, ...], str]:
        """The conversation that these ids are, up to where the assistant begins to speak; or no
        message, and the plain text that they are.

        Raises:
            Refusal: 400 ``gateway.not_a_conversation``.
        """
        text = self._tokenizer.decode(ids)
        plain = (self._tokenizer.encode_text, self._tokenizer.encode_prompt)
        if any(encode(text) == list(ids) for encode in plain):
            return (), text
        found = self._read(ids, whole=True)
        if found is None or self._encode(found) != list(ids):
            raise _none("they are what neither the model's template nor its tokenizer makes")
        return found, ""

    def example(self, datum: WireDatum, policy: Policy) -> Example:
        """A datum as it is learnt from.

        Raises:
            Refusal: 400 ``gateway.not_a_conversation``.
        """
        count = len(datum.ids)
        if not 1 <= count == len(datum.targets) == len(datum.weights):
            raise _none("tokens, `target_tokens` and `weights` are not equally many")
        if count >= policy.most_tokens:
            raise _none(f"they are more than {policy.most_tokens}")
        if datum.ids[1:] != datum.targets[:-1]:
            raise _none("`target_tokens` are not the tokens that follow")
        if not set(datum.weights) <= {0.0, 1.0}:
            raise _none("`weights` are neither 0 nor 1")
        ids = (datum.ids[0], *datum.targets)
        learnt = (False, *(weight == 1.0 for weight in datum.weights))
        found = self._read(ids, whole=False)
        whole = [] if found is None else self._encode(found)
        if found is None or whole[: len(ids)] != list(ids):
            raise _none("they are not what the model's template makes of messages")
        turns = tuple(Turn(message.role, message.content) for message in found)
        if why := fault(turns):
            raise _none(why)
        example = mark(turns, self._encode_turns, self._controls)
        if example is None or len(example.ids) > len(ids):
            raise _none("the last message is not whole")
        stop = len(example.ids)
        may = (*example.learnt, *[False] * (len(ids) - stop))
        if any(wanted and not allowed for wanted, allowed in zip(learnt, may, strict=True)):
            raise _none("`weights` mark what no assistant says")
        if sum(learnt) < max(1, policy.floors.least_supervised):
            raise _none("too little of it is learnt")
        return Example(example.ids, learnt[:stop])

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        try:
            return self._template.encode(messages)
        except Refusal:
            return []

    def _encode_turns(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        return self._template.encode([Message(role, text) for role, text in turns])  # type: ignore[arg-type]

    def _read(self, ids: Sequence[int], *, whole: bool) -> tuple[Message, ...] | None:
        """Step 1. ``whole``: the assistant is to speak next; else the last message is its, and what
        follows it may be missing.
        """
        pieces = self._divide(ids)
        waiting: list[Roles] = [()]
        for _ in range(_MOST_LOOKS):
            if not waiting:
                break
            roles = waiting.pop()
            written = self._written(roles) if roles else ()
            if written is None or not _begins(written, pieces):
                continue
            ends = whole or (bool(roles) and roles[-1] == "assistant")
            texts = _contents(written, pieces, whole=whole) if roles and ends else None
            if texts is not None:
                return tuple(Message(role, text) for role, text in zip(roles, texts, strict=True))
            if len(roles) < _MOST_TURNS:
                waiting += [(*roles, role) for role in get_args(Role)]
        return None

    def _divide(self, ids: Sequence[int]) -> list[tuple[int | None, str]]:
        """Each control token with the text behind it; first what stands before any."""
        divided: list[tuple[int | None, str]] = []
        control: int | None = None
        start = 0
        for at, token in enumerate(ids):
            if token in self._controls:
                divided.append((control, self._tokenizer.decode(ids[start:at])))
                control, start = token, at + 1
        divided.append((control, self._tokenizer.decode(ids[start:])))
        return divided

    def _write(self, roles: Roles) -> tuple[_Stretch, ...] | None:
        """What the template writes around messages of these roles; None where it has no form."""
        try:
            parts = self._template.around(roles)
        except Refusal:
            return None
        stretches = [_Stretch(None, "", False, "")]
        for part in parts:
            if isinstance(part, int):
                if stretches[-1].message:
                    return None  # two messages with no control token between them
                stretches[-1] = stretches[-1]._replace(message=True)
                continue
            text, controls = self._tokenizer.split(part)
            last = stretches[-1]
            place = "after" if last.message else "before"
            stretches[-1] = last._replace(**{place: getattr(last, place) + text})
            stretches += [
                _Stretch(control, following, False, "") for control, following in controls
            ]
        return tuple(stretches)


def _begins(written: tuple[_Stretch, ...], pieces: Sequence[tuple[int | None, str]]) -> bool:
    """Whether the ids begin as what is written does, up to its last message."""
    last = max((at for at, each in enumerate(written) if each.message), default=-1)
    if last >= len(pieces):
        return False
    return all(
        control == each.control and _content(each, text, cut=at == last) is not None
        for at, (each, (control, text)) in enumerate(
            zip(written[: last + 1], pieces[: last + 1], strict=True)
        )
    )


def _content(each: _Stretch, text: str, *, cut: bool = False) -> str | None:
    """The message in a stretch, or nothing where none is; None where the stretch does not fit."""
    if not each.message:
        return "" if text == each.before else None
    after = "" if cut else each.after
    fits = text.startswith(each.before) and text.endswith(after)
    if not fits or len(text) < len(each.before) + len(after):
        return None
    return text[len(each.before) : len(text) - len(after)]


def _contents(
    written: tuple[_Stretch, ...], pieces: Sequence[tuple[int | None, str]], *, whole: bool
) -> list[str] | None:
    """The messages' texts; None unless all that is there was written."""
    last = max(at for at, each in enumerate(written) if each.message)
    if len(pieces) > len(written) or (
        len(pieces) < len(written) if whole else len(pieces) < last + 2
    ):
        return None
    texts = []
    for at, (each, (control, text)) in enumerate(zip(written, pieces, strict=False)):
        ended = not whole and at == len(pieces) - 1 and not each.message
        found = "" if ended and each.before.startswith(text) else _content(each, text)
        if control != each.control or found is None:
            return None
        if each.message:
            texts.append(found)
    return texts


def _none(why: str) -> Refusal:
    return Refusal(
        "gateway.not_a_conversation",
        f"Token ids cannot be used: {why}.",
        action="Encode messages with the model's own template and tokenizer; see docs/tuning.md.",
    )
