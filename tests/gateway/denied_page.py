"""Write docs/denied-parameters.md from the table: ``python tests/gateway/denied_page.py``."""

from __future__ import annotations

import json
from pathlib import Path

from strongroom.gateway.denied import DENIED, GROUPS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "denied-parameters.md"


def page() -> str:
    """The whole page."""
    lines = [
        "# Denied parameters",
        "",
        "The gateway refuses these request parameters by name, with status 400 and code",
        "`gateway.parameter_not_allowed`; the error's `param` names the parameter and `rung` the",
        "least rung of disclosure that would grant it, or `never`. Values that ask for nothing are",
        "accepted and dropped, since clients send defaults. Every name that is neither here nor in",
        "[api.md](api.md) is refused as unknown.",
        "",
        "This page is written from the table in `src/strongroom/gateway/denied.py` by",
        "`tests/gateway/denied_page.py`; a test compares them.",
    ]
    for group, reason in GROUPS.items():
        lines += ["", f"## {group.capitalize()}", "", f"Each of these {reason}.", ""]
        lines += ["| parameter | why it is refused | rung that grants it | accepted values |"]
        lines += ["|---|---|---|---|"]
        for name, row in DENIED.items():
            if row.group == group:
                values = ", ".join(f"`{json.dumps(value)}`" for value in row.harmless)
                lines.append(f"| `{name}` | {row.why} | {row.grant} | {values} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
