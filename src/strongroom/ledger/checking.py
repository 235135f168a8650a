"""Whether a value has the form that its msgspec schema asks for, told without decoding it. Pure.

msgspec checks types and bounds only when it decodes, which for a line of the record costs ten times
as much as writing it. ``checker`` reads the same schema and makes a function of it that accepts
less than the decoder, never more: what it does not accept, or cannot know, is for the decoder to
judge.

Texts that come again with every request (a route, a key's id) are remembered as accepted, together.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import inspect

Check = Callable[[Any], bool]

_REMEMBERED: Final = 1024


def checker(kind: type[msgspec.Struct], unlike: tuple[str, ...]) -> Check:
    """Accepts instances of ``kind`` whose every field has its form.

    Args:
        kind: a struct of texts, integers, truth values, literals and dictionaries of them.
        unlike: at least two fields whose values seldom come again; all others are texts, and
            there are two of them at least.
    """
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(kind)
    checks = {field.name: _check(field.type) for field in info.fields}
    others = [name for name in checks if name not in unlike]
    alike, different = attrgetter(*others), attrgetter(*unlike)
    of_alike, of_different = [checks[name] for name in others], [checks[name] for name in unlike]

    @lru_cache(_REMEMBERED, typed=True)
    def known(*values: Any) -> bool:
        return all(map(_apply, of_alike, values))

    def accepts(entry: Any) -> bool:
        try:
            if type(entry) is not kind or not known(*alike(entry)):
                return False
        except TypeError:  # a value that cannot be a text: it has no hash
            return False
        for check, value in zip(of_different, different(entry), strict=True):
            if not check(value):
                return False
        return True

    return accepts


def _apply(check: Check, value: Any) -> bool:
    return check(value)


def _check(info: inspect.Type) -> Check:
    if isinstance(info, inspect.StrType):
        return _text(info)
    if isinstance(info, inspect.IntType):
        return _integer(info)
    if isinstance(info, inspect.LiteralType):
        values = {value for value in info.values if type(value) is str}
        return lambda value: type(value) is str and value in values
    if isinstance(info, inspect.BoolType):
        return lambda value: value is True or value is False
    if isinstance(info, inspect.DictType):
        return _dictionary(info)
    return lambda value: False


def _text(info: inspect.StrType) -> Check:
    least, most = info.min_length or 0, sys.maxsize if info.max_length is None else info.max_length
    search = re.compile(info.pattern or "").search

    def fits(value: Any) -> bool:
        if type(value) is not str or not least <= len(value) <= most:
            return False
        return search(value) is not None

    return fits


def _integer(info: inspect.IntType) -> Check:
    if None in (info.ge, info.le) or info.gt or info.lt or info.multiple_of:
        return lambda value: False
    least, most = info.ge or 0, info.le or 0
    return lambda value: type(value) is int and least <= value <= most


def _dictionary(info: inspect.DictType) -> Check:
    least, most = info.min_length or 0, sys.maxsize if info.max_length is None else info.max_length
    key, value = _check(info.key_type), _check(info.value_type)

    @lru_cache(_REMEMBERED, typed=True)
    def known(*keys: Any) -> bool:
        return all(map(key, keys))

    def fits(found: Any) -> bool:
        if type(found) is not dict or not least <= len(found) <= most:
            return False
        return known(*found) and all(map(value, found.values()))

    return fits
