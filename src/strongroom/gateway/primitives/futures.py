"""What became of something asked, in the forms in which Tinker's client fetches it.

A request is answered at once with its id; its result is fetched, and that fetch waits. What waits
longer than ``WAIT_SECONDS`` is told to ask again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from strongroom.gateway.primitives import wire
from strongroom.gateway.tuning_desk import aside
from strongroom.store.sessions import StoredRequest, StoredSession
from strongroom.tune.policy import BETAS, EPSILON

WAIT_SECONDS: Final = 20.0
_FIRST_LOOK: Final = 0.02
_LONGEST_LOOK: Final = 0.5


class Result(NamedTuple):
    """An answer: a JSON object, or bytes that are protobuf."""

    value: dict[str, Any] | bytes


async def waited(look: Callable[[], Result | None]) -> Result | None:
    """The first result that ``look`` finds, asked in a thread, less and less often; None: too late.

    Raises:
        Refusal: what ``look`` refuses.
    """
    pause, until = _FIRST_LOOK, time.monotonic() + WAIT_SECONDS
    while True:
        found = await aside(look)
        if found is not None or time.monotonic() >= until:
            return found
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_LOOK)


def again(request_id: str, *, live: bool) -> dict[str, Any]:
    """Ask again: it is worked on, or waits for a runner."""
    return {
        "type": "try_again",
        "request_id": request_id,
        "queue_state": "active" if live else "paused_capacity",
    }


def failed(code: str, words: str) -> Result:
    """It was refused."""
    return Result({"error": f"{words} [{code}]", "category": "user"})


def of_session(session: StoredSession) -> Result | None:
    """Whether a session has a runner: the result of ``create_model``."""
    if session.status == "over":
        return failed("tune.session_over", session.reason)
    if session.status == "waiting":
        return None
    return Result({"type": "create_model", "model_id": session.id})


def of_request(request: StoredRequest, model: str) -> Result | None:
    """The result of everything else; None while it waits. ``model`` is what the base is called."""
    if request.status == "waiting":
        return None
    if request.status == "refused":
        return failed(request.error, request.reason)
    if request.kind == "sample":
        return Result(request.result)
    result: dict[str, Any] = msgspec.json.decode(request.result)
    if request.kind == "learn":
        return Result(wire.write_learned(result["count"], result["loss"]))
    if request.kind == "update":
        # What was passed over of the client's parameters is told: these are in force.
        ours = {"beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON}
        return Result({"metrics": {"step": float(result["step"]), **ours}})
    saved = f"tinker://{request.session}/weights/{result['adapter']}"
    return Result({"path": saved, "sampling_session_id": f"{model}:{result['adapter']}"})
