"""What comes with the package is what was put there: SHA-256 of every bundled data file, in ``bundled/SHA256SUMS``.

``cd normbt_lab/data/bundled && sha256sum -c SHA256SUMS`` checks them without this package.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from normbt_lab.errors import NormBTError
from normbt_lab.project import how_to_install


def bundled_bytes(name: str) -> bytes:
    """Content of a file in ``data/bundled``, once it is found to be the one that was packed.

    Raises:
        NormBTError: It is missing or another one.

    Example:
        >>> bundled_bytes("train.jsonl.gz")[:2].hex()
        '1f8b'
    """
    try:
        content = (resources.files("normbt_lab.data") / "bundled" / name).read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != _digests()[name]:
        raise NormBTError(
            f"{name} of the bundled pairs is missing or not the file that was packed (SHA-256 {_digests()[name]}): the "
            f"installation is damaged. {how_to_install(clone='a new clone')}"
        )
    return content


@cache
def _digests() -> dict[str, str]:
    text = (resources.files("normbt_lab.data") / "bundled" / "SHA256SUMS").read_text(encoding="utf-8")
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}
