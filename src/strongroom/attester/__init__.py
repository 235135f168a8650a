"""The process that asks a machine's devices for evidence, so that no other has to touch them.

A keeper needs fresh evidence at its start and at every renewal, when its walls no longer let it
open a device. This process, of the same user, opens them for it. It holds neither keys nor weights
and is not trusted: evidence binds the keeper's own key and nonce, so whoever stands in between can
withhold it and nothing else.

    wire        what is asked and answered over one inherited socket
    sources     which devices, from the configuration
    serving     the loop
"""
