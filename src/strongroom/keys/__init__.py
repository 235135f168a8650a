"""Who can unwrap a data key.

``interface`` says what a wrapper is; each other file is one way to wrap. May import the types of
``artifact`` (``data_key``, ``recipients``) and ``errors``. Optional libraries are imported inside
the adapter that needs them. What each wrapper protects and does not: ``docs/keys.md``.

- ``keyring``: a private file with key-encryption keys (``keyring_file``: its form and bounds).
- ``hpke``: a public-key recipient, ML-KEM-768 with X25519 (``hpke_keys``: the key material).
- ``vault``: transit keys of Vault or OpenBao; ``aws_kms``: keys of AWS KMS.
- ``stanza``, ``envelope``, ``private_file``, ``wiping``: what the wrappers share.
"""
