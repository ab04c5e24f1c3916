"""What all tests share."""

from hypothesis import HealthCheck, settings

# How long an example takes, or its making, says nothing on a busy machine; benchmarks measure time.
settings.register_profile("squall", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("squall")
