"""The site of the documents, built in a folder of its own as `make docs` builds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import PROJECT

REPOSITORY = "https://example.org/team/unpaired"


def build_site(folder: Path) -> Path:
    """Build into `folder`, as a clone of `REPOSITORY` does; returns the site.

    Raises:
        AssertionError: a step failed or warned.
    """
    shutil.copytree(PROJECT / "docs", folder / "docs")
    shutil.copy(PROJECT / "mkdocs.yml", folder)
    for step in (["docs/api.py"], ["-m", "zensical", "build", "--strict"], ["docs/sources.py"]):
        env = {**os.environ, "REPO_URL": REPOSITORY}
        done = subprocess.run([sys.executable, *step], cwd=folder, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"
