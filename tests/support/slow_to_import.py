"""A module whose import takes seconds, as torch's does, but no CPU time."""

import time

time.sleep(5)
