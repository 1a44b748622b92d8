"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right; no test asserts real time.
settings.register_profile("archaudit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("archaudit")
