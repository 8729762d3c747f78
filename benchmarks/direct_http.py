"""Plain HTTP without the proxies of the environment: what is measured is the server named."""

from __future__ import annotations

import urllib.request

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens a request as ``urllib.request.urlopen`` does, and asks no proxy."""
