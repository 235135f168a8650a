"""Closing: an object that answers some questions, and shows nothing by which it could answer more.

The model lies in the closures of the questions. Attributes other than the questions do not exist:
``__dict__``, ``__closure__``, ``__self__``, names with an underscore all raise, and so do copying
and pickling. This keeps an attack honest; it does not confine hostile code, which can walk the
garbage collector's lists in any process. The served rungs need no such promise: there the model is
in another process altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_ALWAYS = frozenset({"__class__", "__doc__"})  # isinstance() needs the first


def close(questions: Mapping[str, Callable[..., Any]]) -> Any:
    """An object whose only attributes are ``questions``, each a callable that shows nothing."""
    answers = {name: _only_call(question) for name, question in questions.items()}

    class Target:
        """A closed target."""

        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            if name in answers:
                return answers[name]
            if name in _ALWAYS:
                return object.__getattribute__(self, name)
            raise AttributeError(f"a target of this rung has no {name}")

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError("a target cannot be altered")

        def __dir__(self) -> list[str]:
            return sorted(answers)

        def __repr__(self) -> str:
            return f"<target: {', '.join(sorted(answers))}>"

    return Target()


def _only_call(question: Callable[..., Any]) -> Any:
    class Question:
        """One question of a closed target: it can be called."""

        __slots__ = ()

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return question(*args, **kwargs)

        def __getattribute__(self, name: str) -> Any:
            if name in _ALWAYS:
                return object.__getattribute__(self, name)
            raise AttributeError(f"a question has no {name}")

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError("a question cannot be altered")

        def __dir__(self) -> list[str]:
            return []

    return Question()
