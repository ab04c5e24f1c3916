"""What all tests share."""

from hypothesis import settings

# How long an example takes says nothing on a busy machine; benchmarks measure time.
settings.register_profile("squall", deadline=None)
settings.load_profile("squall")
