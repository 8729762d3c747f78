"""Full weights in, smaller weights out."""

import models  # noqa: F401 - names a wrong Python
