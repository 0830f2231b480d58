"""Nothing is known of what stands in gin's own module."""

from typing import Any

def __getattr__(name: str) -> Any: ...
