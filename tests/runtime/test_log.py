from __future__ import annotations

import json
import stat
from pathlib import Path

from tui_trader.runtime.log import PrivateFile, Redactor, SessionLog


def test_lines_are_json_private_and_without_secrets(tmp_path: Path) -> None:
    """I22."""
    log = SessionLog(tmp_path / "s.log", Redactor(("KEY12345", "SECRET6789")))
    log.say("alarm", "failed: url?signature=abcdef&x=1 with KEY12345", detail="SECRET6789", number=3)
    log.close()
    line = json.loads((tmp_path / "s.log").read_text())
    assert line["severity"] == "alarm"
    assert line["number"] == 3
    assert "signature=…" in line["text"]
    text = (tmp_path / "s.log").read_text()
    assert not any(word in text for word in ("KEY12345", "SECRET6789", "abcdef"))
    assert stat.S_IMODE((tmp_path / "s.log").stat().st_mode) == 0o600


def test_control_bytes_do_not_reach_a_reader_raw(tmp_path: Path) -> None:
    """I23."""
    log = SessionLog(tmp_path / "s.log", Redactor())
    log.say("info", "\x1b]0;owned\x07 \ud800")
    log.close()
    assert b"\x1b" not in (tmp_path / "s.log").read_bytes()


def test_the_file_rotates_and_keeps_a_few(tmp_path: Path) -> None:
    file = PrivateFile(tmp_path / "s.log", max_bytes=100, kept=2)
    for number in range(60):
        file.msg(f"line {number:04d}")
    file.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.log", "s.log.1", "s.log.2"]
    assert (tmp_path / "s.log").read_text().endswith("line 0059\n")
    assert all(p.stat().st_size <= 100 for p in tmp_path.iterdir())


def test_a_log_that_cannot_be_written_never_raises(tmp_path: Path) -> None:
    log = SessionLog(tmp_path / "none" / "s.log", Redactor())
    log.say("info", "x")
    log.close()
    log.close()
