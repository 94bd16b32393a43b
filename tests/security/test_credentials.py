"""Where a key may come from, in which order, and what is refused (I22)."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tui_trader.credentials import credentials
from tui_trader.errors import ConfigError
from tui_trader.secret import HIDDEN, everywhere

ENVIRONMENT = {"TP_API_KEY": "environmentkey", "TP_API_SECRET": "environmentsecret"}


def key_file(folder: Path, mode: int = 0o600, text: str = '[live]\nkey = "filekey"\nsecret = "filesecret"\n') -> Path:
    path = folder / "credentials.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def systemd(folder: Path, **parts: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for name, text in parts.items():
        (folder / f"tui-trader-{name}").write_text(text)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


class Backend:
    """A keyring backend; its module's name decides whether it counts as the system's."""

    stored: dict[tuple[str, str], str]

    def get_password(self, service: str, name: str) -> str | None:
        return self.stored.get((service, name))


def keyring(monkeypatch: pytest.MonkeyPatch, module: str, stored: dict[tuple[str, str], str]) -> None:
    kind = type("Keyring", (Backend,), {"__module__": module})
    backend = kind()
    backend.stored = stored
    fake = ModuleType("keyring")
    fake.get_keyring = lambda: backend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", fake)


STORED = {("tui-trader", "live-key"): "ringkey", ("tui-trader", "live-secret"): "ringsecret"}
SYSTEM = "keyring.backends.SecretService"


def test_the_most_private_place_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, SYSTEM, STORED)
    given = {**ENVIRONMENT, **systemd(tmp_path / "run", key="systemdkey\n", secret="systemdsecret\n")}
    path = key_file(tmp_path)
    found = credentials("live", given, tmp_path)
    assert (found.key, found.secret.reveal()) == ("systemdkey", "systemdsecret")
    assert "not used: the systemd credential holds" in found.warning
    del given["CREDENTIALS_DIRECTORY"]
    assert credentials("live", given, tmp_path).key == "filekey"
    assert "not used" in credentials("live", given, tmp_path).warning
    path.unlink()
    assert credentials("live", given, tmp_path).key == "ringkey"
    monkeypatch.setitem(sys.modules, "keyring", None)
    last = credentials("live", given, tmp_path)
    assert (last.key, last.source) == ("environmentkey", "environment")
    assert "safer" in last.warning
    with pytest.raises(ConfigError, match="no API key"):
        credentials("live", {}, tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o777, 0o610, 0o601])
def test_a_file_that_others_may_open_is_not_read(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, mode)
    with pytest.raises(ConfigError) as refused:
        credentials("live", ENVIRONMENT, tmp_path)
    assert f"chmod 600 {path})" in str(refused.value)
    assert "filekey" not in str(refused.value)


def test_what_is_not_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        credentials("live", {}, tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="not a regular file"):
        credentials("live", {}, tmp_path)
    path.rmdir()
    for content in (b"\xff\xfe\x00", b"#" * 100_000, b"[live", b"[live]\nkey = 5\nsecret = 6", b"[live]\nkey = 'a'"):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigError):
            credentials("live", {}, tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    os.chown(key_file(tmp_path), 12345, 12345)
    with pytest.raises(ConfigError, match="another user"):
        credentials("live", {}, tmp_path)


def test_a_file_for_another_mode_leaves_the_other_places(tmp_path: Path) -> None:
    key_file(tmp_path)
    assert credentials("testnet", ENVIRONMENT, tmp_path).source == "environment"
    with pytest.raises(ConfigError, match=r"no section \[testnet\]"):
        credentials("testnet", {}, tmp_path)


@pytest.mark.parametrize(
    "module",
    ["keyring.backends.fail", "keyring.backends.null", "keyrings.alt.file", "keyring.backends.chainer", "mine"],
)
def test_a_keyring_that_keeps_nothing_secret_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    keyring(monkeypatch, module, STORED)
    with pytest.raises(ConfigError) as refused:
        credentials("live", {}, tmp_path)
    assert module in str(refused.value)
    assert "does not keep secrets in the operating system" in str(refused.value)


def test_a_chain_is_as_weak_as_its_weakest_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, "keyring.backends.chainer", STORED)
    backend = sys.modules["keyring"].get_keyring()
    good = type("Keyring", (Backend,), {"__module__": SYSTEM})()
    backend.backends = [good]
    assert credentials("live", {}, tmp_path).key == "ringkey"
    backend.backends = [good, type("PlaintextKeyring", (Backend,), {"__module__": "keyrings.alt.file"})()]
    with pytest.raises(ConfigError, match=r"keyrings\.alt\.file\.PlaintextKeyring"):
        credentials("live", {}, tmp_path)


def test_the_real_library_without_a_system_keyring_is_refused(tmp_path: Path) -> None:
    """The very package of the extra: on a machine without a keyring it answers with its ``fail`` backend."""
    library = pytest.importorskip("keyring")
    if type(library.get_keyring()).__module__ != "keyring.backends.fail":
        pytest.skip("this machine has a keyring")
    with pytest.raises(ConfigError, match=r"keyring\.backends\.fail"):
        credentials("live", {}, tmp_path)


def test_a_locked_keyring_and_half_a_pair_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, SYSTEM, {("tui-trader", "live-key"): "ringkey"})
    with pytest.raises(ConfigError, match="only one of live-key and live-secret"):
        credentials("live", {}, tmp_path)

    def locked(self: object, service: str, name: str) -> str:
        raise RuntimeError("locked: the password is hunter2")

    monkeypatch.setattr(Backend, "get_password", locked)
    with pytest.raises(ConfigError, match=r"does not answer: RuntimeError\)") as refused:
        credentials("live", {}, tmp_path)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="Only one of the systemd"):
        credentials("live", systemd(tmp_path / "half", key="systemdkey"), tmp_path)


def test_a_read_key_is_known_to_everything_that_writes(tmp_path: Path) -> None:
    key_file(tmp_path, text='[live]\nkey = "KEY-that-is-learnt"\nsecret = "SECRET-that-is-learnt"\n')
    found = credentials("live", {}, tmp_path)
    assert everywhere("a KEY-that-is-learnt b SECRET-that-is-learnt") == f"a {HIDDEN} b {HIDDEN}"
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    assert "learnt" not in repr(found)
