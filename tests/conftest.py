import pytest
from tiny import make_tiny_clip

from rppbench.clip import Clip


@pytest.fixture(scope="session")
def tiny_clip() -> Clip:
    """A small CLIP with random weights in float32; treat it as read-only."""
    return make_tiny_clip()
