"""How many cases are generated where each takes a tenth of a second and more."""

from hypothesis import settings

_USUAL = settings().max_examples
FEWER = settings(max_examples=_USUAL if _USUAL > 100 else 10)
"""As many as of any other test in `make test-full`, and 10 in `make test`."""
