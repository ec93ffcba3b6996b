"""What the metrics are: read where a manifest is checked or a verdict is passed, so nothing heavy is imported."""

from __future__ import annotations

CLASS_METRICS = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "ece")
PROPORTIONS = ("accuracy", "balanced_accuracy")
SHARES = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "ece")
"""Metrics that lie between 0 and 1."""
LOSSES = ("log_loss", "rmse", "mae", "ece")
"""Metrics of which less is better."""
