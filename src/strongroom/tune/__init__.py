"""Tuning: LoRA adapters as a service, and the gate before one leaves.

What may enter: a customer's conversations as token ids, and a request within the owner's policy.
What leaves: sealed adapters, rounded losses, and, through ``gate``, weights that an owner exports.

    chat_lines, dataset     a customer's JSONL, read strictly; the floors that it must meet
    policy                  what a job may ask for; every limit is the server's
    forward, optimiser      our own short training step over frozen weights
    adapter                 the low-rank matrices, their names and PEFT's format
    job, checkpoint         the loop; a killed job goes on from its last sealed checkpoint
    sealed                  adapters as sealed artifacts, bound to their base
    gate, self_attack       what is tried on an adapter before it may leave

Nothing here faces a network. ``forward`` and ``job`` run where the weights are, behind the keeper's
walls; ``chat_lines`` and ``dataset`` run where text is, outside of them.
"""
