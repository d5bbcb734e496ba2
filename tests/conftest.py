"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# How fast examples are made and tried says something about the machine only. Everybody tries the same ones, so that a
# change is judged by what it changes; SOAK=1 tries others each time.
settings.register_profile(
    "meshscope",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not os.environ.get("SOAK"),
)
settings.load_profile("meshscope")
