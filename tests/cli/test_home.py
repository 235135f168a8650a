"""``init``, what a home must look like, and how its settings are refused."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec
import pytest

from strongroom.cli import home, settings, settings_text
from strongroom.errors import ConfigurationRefused
from tests.cli.conftest import Made, Runs


def test_init_makes_a_private_home(strongroom: Runs, tmp_path: Path) -> None:
    said = strongroom("init", "--home", tmp_path / "h", "--json")
    assert said.code == 0
    assert said.json["home"] == str(tmp_path / "h")
    for path in [tmp_path / "h", *(tmp_path / "h").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert [path.name for path in tmp_path.iterdir()] == ["h"]  # nothing is left beside it


def test_the_home_may_be_named_in_three_ways(
    strongroom: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert strongroom("--home", tmp_path / "a", "init").code == 0
    assert strongroom("init", "--home", tmp_path / "b").code == 0
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "c"))
    assert strongroom("init").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_init_refuses_what_exists_and_leaves_it(strongroom: Runs, tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    said = strongroom("init", "--home", tmp_path / "h", "--json")
    assert (said.code, said.refusal, said.out) == (5, "cli.home_exists", "")
    assert list((tmp_path / "h").iterdir()) == []


def test_an_init_that_fails_leaves_nothing(
    strongroom: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("strongroom.keys.keyring.FileKeyring.create", full)
    said = strongroom("init", "--home", tmp_path / "h", "--json")
    assert (said.code, said.refusal) == (6, "artifact.disk_full")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("inside", "mode"),
    [
        ("", 0o750),
        ("keys", 0o711),
        ("state", 0o770),
        ("keys/keyring.json", 0o640),
        ("keys/pepper", 0o604),
        ("keys/signing.key", 0o644),
        ("trust/signers.toml", 0o660),
        ("strongroom.toml", 0o602),
    ],
)
def test_what_others_may_reach_is_refused(
    strongroom: Runs, made: Made, inside: str, mode: int
) -> None:
    (made.home / inside).chmod(mode)
    said = strongroom("--home", made.home, "verify", made.sealed, "--json")
    assert (said.code, said.refusal) == (5, "cli.home_exposed")


def test_a_link_in_the_home_is_refused(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    pepper = made.home / "keys" / "pepper"
    pepper.rename(tmp_path / "elsewhere")
    pepper.symlink_to(tmp_path / "elsewhere")
    said = strongroom("--home", made.home, "key", "list", "--json")
    assert (said.code, said.refusal) == (5, "cli.home_irregular")


def test_a_home_without_a_signing_key_verifies_and_cannot_seal(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    (made.home / "keys" / "signing.key").unlink()
    assert strongroom("--home", made.home, "verify", made.sealed).code == 0
    said = strongroom("--home", made.home, "seal", made.plain, "--out", tmp_path / "n", "--json")
    assert (said.code, said.refusal) == (4, "keys.file_missing")


def test_an_incomplete_home_is_refused(strongroom: Runs, made: Made) -> None:
    (made.home / "keys" / "service.key").unlink()
    said = strongroom("--home", made.home, "key", "list", "--json")
    assert (said.code, said.refusal) == (5, "cli.home_incomplete")


def test_no_home(strongroom: Runs, tmp_path: Path) -> None:
    said = strongroom("--home", tmp_path / "none", "key", "list", "--json")
    assert (said.code, said.refusal) == (5, "cli.no_home")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_foreign_home_is_refused(strongroom: Runs, made: Made) -> None:
    os.chown(made.home / "keys", 65534, 65534)
    said = strongroom("--home", made.home, "key", "list", "--json")
    assert (said.code, said.refusal) == (5, "cli.home_owner")


def test_the_written_configuration_is_the_defaults() -> None:
    assert settings.parse(settings_text.TEXT) == settings.parse("") == settings.Settings()


def test_the_written_configuration_explains_every_setting() -> None:
    def require(form: type[msgspec.Struct]) -> None:
        for field in msgspec.structs.fields(form):
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                require(field.type)
            else:
                shown = rf"{field.name} =|[\[.]{field.name}\]"
                assert re.search(shown, settings_text.TEXT), field.name

    require(settings.Settings)


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("[serving]\nmax_stream = 3", "cli.unknown_setting", "Did you mean serving.max_streams?"),
        ("[egress.deployment]\nbits = 3", "cli.unknown_setting", "egress.deployment.bits_per_"),
        ("[servin]\nport = 3", "cli.unknown_setting", "Did you mean serving?"),
        ("[serving]\nport = 70000", "cli.bad_setting", "comments"),
        ('[serving]\nprofile = "open"', "cli.bad_setting", "comments"),
        ("[egress.tenant]\nbits_per_hour = -1\nbits_per_day = 1", "cli.bad_setting", "comments"),
        ('[[unlock]]\ntype = "hpke"\npth = "x"', "cli.bad_setting", "comments"),
        ("[serving", "cli.bad_toml", "line"),
    ],
)
def test_bad_settings_are_refused(text: str, code: str, hint: str) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        settings.parse(text)
    assert caught.value.code == code
    assert hint in caught.value.action


def test_paths_of_unlockers_start_at_the_home(made: Made) -> None:
    path = made.home / "strongroom.toml"
    path.write_text('[[unlock]]\ntype = "hpke"\npath = "keys/me.identity"\n')
    opened = home.open_home(made.home)
    assert [getattr(unlocker, "path", None) for unlocker in opened.unlockers()] == [
        str(made.home / "keys/keyring.json"),
        str(made.home / "keys/me.identity"),
    ]
    (made.home / "trust" / "signers.toml").write_text("[[signer]]\nnam = 1\n")
    with pytest.raises(ConfigurationRefused) as caught:
        _ = home.open_home(made.home).signers
    assert caught.value.code == "cli.bad_signers"


def test_the_documentation_shows_the_written_configuration() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    assert f"```toml\n{settings_text.TEXT}```" in page.read_text()
