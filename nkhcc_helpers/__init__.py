"""Helpers for analysing a small dose-exploration trial."""

__version__ = "0.1.0"
