"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How fast examples are made and tried says something about the machine only.
settings.register_profile("meshscope", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("meshscope")
