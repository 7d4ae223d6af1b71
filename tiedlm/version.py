"""The version, which records keep and reports depend on."""

__version__ = "0.2.0"
