"""Training step by step, in the words of the client package ``tinker``, where the owner grants it.

What may enter: requests in that client's own form, JSON and protobuf, read strictly. What leaves to
the store: conversations as token ids that are, id by id, what this service makes of conversations.
What leaves to the caller: rounded mean losses, numbers of steps, names of adapters, and the text of
samples as ids, which took the way of every request to generate. Nothing here reaches the process
that trains; see ``store.sessions`` and ``cli.tune_session``.

    wire            the few protobuf messages that the client knows, by hand
    shapes          its JSON requests, closed, and our answers
    conversations   from token ids back to a conversation, and whether they are one
    futures         what became of a request that was put into the store
    api             the routes
    sampling        a sample is a chat or a completion, with its text as token ids
"""
