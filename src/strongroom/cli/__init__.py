"""The command line: one file a verb. May import anything; nobody imports it.

- ``main``: the entry; finds a verb's file when it is asked for, turns errors into exit codes.
- verbs: ``init``, ``seal``, ``inspect``, ``verify``, ``rewrap``, ``serve``, ``key``,
  ``recipient``, ``log``, ``doctor``. Each imports what is heavy inside its functions.
- ``call``, ``output``: options that all verbs share; what goes to which stream.
- ``home``, ``settings``, ``settings_text``: the folder with keys, trust, state and configuration.
- ``passphrase``, ``signing_key_file``, ``unlocking``, ``recipient_spec``: keys, for the verbs.
- ``supervisor``, ``child``, ``children``: the three processes of ``serve``.
- ``checks``: what ``doctor`` looks at.
"""
