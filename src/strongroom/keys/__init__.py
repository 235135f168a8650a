"""Who can unwrap a data key.

``interface`` says what a wrapper is; each other file is one way to wrap. May import the types of
``artifact`` (``data_key``, ``recipients``) and ``errors``. Optional libraries are imported inside
the adapter that needs them.
"""
