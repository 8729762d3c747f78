"""Measures serving from outside (HTTP) and inside (the Engine protocol)."""

import models  # noqa: F401 - names a wrong Python
