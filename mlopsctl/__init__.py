"""mlopsctl: what should exist in machine learning, declared in YAML, made so, signed and audited in git."""

__version__ = "0.1.0"
