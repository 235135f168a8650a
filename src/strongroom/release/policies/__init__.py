"""The owner's word on who may have a key: Cedar policies over verified facts.

What may enter: facts that a verifier of ``attest`` let pass, and the owner's lists. What is never
the owner's to choose (debug mode, a signature that does not hold, an unpinned root) is refused by
the verifiers before a policy is asked.

- ``schema.cedarschema``: what a policy can speak of.
- ``templates/``: the shipped policies, each a text that needs no editing: the owner's choices are
  the lists of ``document.Allowed``.
- ``document``: the policy file, its bounds, its digest.
- ``context``: facts as Cedar values.
- ``engine``: allow or deny, and why. Whatever goes wrong denies.
"""
