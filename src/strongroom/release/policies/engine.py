"""Allow or deny, and why.

1. A policy's text must parse and pass strict validation against the schema, or it is not loaded.
2. Every statement carries ``@id``, unique, so that a decision can name what decided.
3. The request and the model's attributes are checked against the schema; what does not fit denies.
4. Nothing that permits: denied. A statement that forbids: denied, whatever permits.
5. An error while evaluating, in any statement, denies.

Cedar: Cutler et al., "Cedar: A New Language for Expressive, Fast, Safe, and Analyzable
Authorization", OOPSLA 2024.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cedarpy

from strongroom.attest.interface import Facts
from strongroom.errors import ConfigurationRefused
from strongroom.release.policies import context
from strongroom.release.policies.document import Document, schema

NOT_PERMITTED = "not-permitted"
EVALUATION_FAILED = "evaluation-failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of one request.

    ``because`` maps the ``@id`` of each statement that decided to its ``@because``: those that
    permit if allowed, those that forbid if denied.
    """

    allowed: bool
    because: dict[str, str]
    policy: str
    policy_digest: str


class Engine:
    """One loaded policy.

    Args:
        document: the policy.

    Raises:
        ConfigurationRefused: ``release.policy_invalid`` (rules 1 and 2).
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.digest = document.digest
        self._schema = cedarpy.Schema.from_str(schema())
        self._policies = _parsed(document.cedar)
        found = cedarpy.validate_policies(document.cedar, self._schema)
        if not found.validation_passed:
            raise _invalid("it does not fit the schema: " + "; ".join(map(str, found.errors)))
        self._statements = _statements(document.cedar)
        self._model = {
            name: list(value) if isinstance(value, tuple) else value
            for name in document.allow.__struct_fields__
            for value in [getattr(document.allow, name)]
        }

    def decide(self, facts: Sequence[Facts], *, manifest: str, approvals: int = 0) -> Verdict:
        """Judge the facts of one workload.

        Args:
            facts: the guest's, then those of its accelerators.
            manifest: SHA-256 (hex) of the model's manifest.
            approvals: valid approvals by different people for this request.
        """
        guests = [fact for fact in facts if fact.kind not in context.ACCELERATORS]
        if len(guests) != 1:
            return self._denied(EVALUATION_FAILED, "There must be evidence of exactly one guest.")
        accelerators = [fact for fact in facts if fact.kind in context.ACCELERATORS]
        request = {
            "principal": {"type": "Workload", "id": "requester"},
            "action": {"type": "Action", "id": "release"},
            "resource": {"type": "Model", "id": manifest},
            "context": {
                "cpu": context.of_guest(guests[0], self.document.images),
                "gpu": context.of_accelerators(accelerators),
                "approvals": approvals,
                "manifest": manifest,
            },
        }
        model = {"uid": request["resource"], "attrs": self._model, "parents": []}
        return self._verdict(request, model)

    def _verdict(self, request: dict[str, Any], model: dict[str, Any]) -> Verdict:
        """Rules 3 to 5."""
        try:
            answer = cedarpy.is_authorized(request, self._policies, [model], self._schema)
        except Exception as error:  # whatever the library raises, nobody gets a key by it
            return self._denied(EVALUATION_FAILED, f"The policy failed ({type(error).__name__}).")
        if answer.diagnostics.errors:
            return self._denied(EVALUATION_FAILED, "The policy could not be evaluated.")
        because = dict(self._statements[reason] for reason in answer.diagnostics.reasons)
        if answer.decision is cedarpy.Decision.Allow and because:
            return Verdict(True, because, self.document.name, self.digest)
        if because:
            return Verdict(False, because, self.document.name, self.digest)
        return self._denied(NOT_PERMITTED, "Nothing in the policy permits this workload.")

    def _denied(self, reason: str, sentence: str) -> Verdict:
        return Verdict(False, {reason: sentence}, self.document.name, self.digest)


def _parsed(text: str) -> cedarpy.PolicySet:
    try:
        return cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise _invalid(f"it does not parse ({error})") from None


def _statements(text: str) -> dict[str, tuple[str, str]]:
    """Rule 2: Cedar's own number of each statement to its ``@id`` and ``@because``."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    if parsed.get("templates"):
        raise _invalid("it holds Cedar templates, which nothing would fill in")
    found = {}
    for number, statement in parsed["staticPolicies"].items():
        notes = statement.get("annotations", {})
        if not notes.get("id"):
            raise _invalid("a statement has no @id")
        found[number] = (notes["id"], notes.get("because") or "The policy's author gave no reason.")
    if len({name for name, _ in found.values()}) != len(found):
        raise _invalid("two statements share an @id")
    return found


def _invalid(why: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "release.policy_invalid",
        f"The policy cannot be used: {why}.",
        action="Correct its Cedar text; `strongroom policy check` says what is wrong.",
    )
