"""Known weaknesses of the installed packages, by pip-audit: exit code 1 if there are any.

Without access to the list of weaknesses it says that nothing was checked, and is no failure.
Usage: python .ci/audit.py SITE_PACKAGES, with a Python that has pip-audit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str]) -> int:
    """Audit a folder of installed packages and print what was found."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--path", *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        print("not audited: no answer from the list of known weaknesses within ten minutes")
        return 0
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        (*_, reason) = ["no message", *ended.stderr.strip().splitlines()]
        print(f"not audited: pip-audit gave no result. Is there a network? Its last line: {reason}")
        return 0
    return report(packages)


def report(packages: Sequence[dict[str, Any]]) -> int:
    """Print the outcome for pip-audit's records of packages; 1 if any has a known weakness."""
    checked = [package for package in packages if "vulns" in package]
    weak = [(package, weakness) for package in checked for weakness in package["vulns"]]
    for package, weakness in weak:
        fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {weakness['id']}, mended in {fixed}")
    if not checked:
        print(f"not audited: the list of known weaknesses was not there for any of {len(packages)} packages.")
        return 0
    skipped = len(packages) - len(checked)
    print(f"{len(checked)} packages audited, {skipped} not in the list, {len(weak)} known weaknesses")
    return 1 if weak else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
