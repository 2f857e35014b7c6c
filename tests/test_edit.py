"""What if? A trial is edited as if its files said so, and read and checked anew."""

from shapes import SHAPES  # noqa: F401
