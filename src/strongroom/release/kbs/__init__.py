"""The wire of Confidential Containers: their guests fetch a model's key as from a KBS.

Protocol 0.4.0 of the Key Broker Service (``kbs_attestation_protocol.md`` of the trustee project),
as far as a guest needs it: request, challenge, attestation, token, resource. The policy, its
decision and the record are the ones of the rest of ``release``.

- ``service``: the state machine, without I/O; its rules are numbered there.
- ``messages``: what a guest sends; ``evidence``: its evidence as a bundle of ours;
  ``binding``: what that evidence must commit to.
- ``tee_key``: the guest's public key; ``jwe``: a resource encrypted to it.
- ``resources``: which path names which model's key; ``sessions``: cookies.
- ``reasons``: why a guest is refused; ``app``: the HTTP around it.
"""
