"""The installer of `make`: announcement, progress and result."""

import sys
from pathlib import Path

import pytest

from cli import install
from tests.unit.deploy.compose import ROOT

README = (ROOT / "README.md").read_text()


def test_sizes_match_the_readme() -> None:
    assert f"{install.DOWNLOAD_SIZE} to fetch, {install.DISK_SIZE} on disk" in README


def test_makefile_uses_the_installer() -> None:
    assert "$(PYTHON) cli/install.py $(VENV)" in (ROOT / "Makefile").read_text()


def test_old_python_is_rejected_with_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "MINIMUM_PYTHON", (99, 0))
    assert install.main(tmp_path / "venv") == 1
    output = capsys.readouterr().out
    assert "needs Python 99.0 or newer" in output
    assert "make PYTHON=" in output
    assert not (tmp_path / "venv").exists()


def test_progress_of_pip_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "install.log"
    log.write_text("Collecting one==1\n  Using cached one.whl\nCollecting two==2\n")
    assert install.stage(log, tmp_path, 9) == "fetching: 2 of 9 packages"
    (tmp_path / "lib" / "python3.11" / "site-packages" / "one-1.dist-info").mkdir(parents=True)
    log.write_text(log.read_text() + "Installing collected packages: one, two\n")
    assert install.stage(log, tmp_path, 9) == "installing: 1 of 9 packages"


def test_progress_is_shown_while_pip_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "_LINE_SECONDS", 0)
    script = "import time; print('Collecting one==1', flush=True); time.sleep(2.5)"
    log = tmp_path / "install.log"
    assert install.run([sys.executable, "-c", script], log, tmp_path, 9) == 0
    assert "fetching: 1 of 9 packages" in capsys.readouterr().out


def test_exit_code_and_output_of_pip_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "install.log"
    script = "import sys; print('no such package'); sys.exit(3)"
    assert install.run([sys.executable, "-c", script], log, tmp_path, 9) == 3
    assert "no such package" in log.read_text()
