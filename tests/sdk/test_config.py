"""What this machine's environment says of how the SDK behaves."""

import pytest
from squall import config
from squall.exception import InvalidError


def test_the_suffix_of_served_apps_is_ones_own_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUALL_DEV_SUFFIX", raising=False)
    assert config.dev_suffix() == "dev"
    monkeypatch.setenv("SQUALL_DEV_SUFFIX", "ada7")
    assert config.dev_suffix() == "ada7"
    monkeypatch.setenv("SQUALL_DEV_SUFFIX", "-A")
    with pytest.raises(InvalidError, match="SQUALL_DEV_SUFFIX"):
        config.dev_suffix()
