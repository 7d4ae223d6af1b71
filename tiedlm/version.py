"""The version, which records keep and reports depend on."""

__version__ = "0.1.0"
