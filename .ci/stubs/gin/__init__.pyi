"""What mypy knows of gin: its decorators leave functions and classes as they are."""

from collections.abc import Callable
from typing import Any, TypeVar, overload

Named = TypeVar("Named", bound=Callable[..., Any])

REQUIRED: Any

@overload
def register(named: Named, /) -> Named: ...
@overload
def register(named: str | None = ..., /, *, module: str = ...) -> Callable[[Named], Named]: ...
@overload
def configurable(named: Named, /) -> Named: ...
@overload
def configurable(named: str | None = ..., /, *, module: str = ...) -> Callable[[Named], Named]: ...
def __getattr__(name: str) -> Any: ...
