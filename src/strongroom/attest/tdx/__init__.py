"""Intel TDX: a quote about a trust domain in, facts or a refusal out.

- `body`: the fields of a TD report, 1.0 and 1.5.
- `expectations`: what an owner may choose.
- `eventlog`: CCEL and dstack event logs, replayed into RTMRs.
- `verify`: the numbered list of checks.
"""
