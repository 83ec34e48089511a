"""The site of the documents, built in a folder of its own as `make docs` builds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import PROJECT


def build_site(folder: Path) -> Path:
    """Build into `folder`; returns the site.

    Raises:
        AssertionError: a step failed or warned.
    """
    shutil.copytree(PROJECT / "docs", folder / "docs")
    shutil.copy(PROJECT / "mkdocs.yml", folder)
    for step in (["docs/api.py"], ["-m", "zensical", "build", "--strict"], ["docs/sources.py"]):
        done = subprocess.run([sys.executable, *step], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"
