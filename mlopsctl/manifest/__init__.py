"""mlops.yaml: read with places, checked against the providers' Specs, references resolved; edited without losing a comment."""

from .load import Manifest, ProjectSpec, load_manifest, topological
from .views import check_views

__all__ = ["Manifest", "ProjectSpec", "check_views", "load_manifest", "topological"]
