"""M-of-N approvals: people, by name, agree with their keys that a model's key may be released.

What may enter: requests and signed votes, as bytes, from a store that nobody trusts; the list of
approvers, from local configuration and from nowhere else.

- ``documents``: what is requested and what is signed, and how the signature is made.
- ``approvers``: whose vote counts; ``approver_key``: the file with which one of them votes.
- ``tally``: from bytes to the people whose approval counts now; its rules are numbered there.
- ``desk``: takes requests and votes, records them, and answers key release.
- ``reasons``: every code with which one of these is refused.
"""
