"""The signature of a webhook: HMAC-SHA256 over the time and the body, so that a receiver knows who
sent it, that nothing was changed, and that it is not an old one sent again.

::

    x-intramural-signature: t=1764500000,v1=5257a869...

``v1`` is the hexadecimal HMAC-SHA256, under the shared secret, of ``t``, a dot and the body as it
came. docs/alerts.md has a check for receivers, which the tests run.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

HEADER: Final = "x-intramural-signature"


def signature(secret: bytes, body: bytes, unix_s: int) -> str:
    """The header's value."""
    mac = hmac.new(secret, b"%d.%b" % (unix_s, body), hashlib.sha256)
    return f"t={unix_s},v1={mac.hexdigest()}"
