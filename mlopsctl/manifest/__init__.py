"""mlops.yaml: read with places, checked against the providers' Specs, references resolved; edited without losing a comment."""

from .load import Manifest, ProjectSpec, load_manifest, topological

__all__ = ["Manifest", "ProjectSpec", "load_manifest", "topological"]
