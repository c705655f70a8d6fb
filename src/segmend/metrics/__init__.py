"""Metrics of label maps against the truth: functions over arrays, and `torchmetrics` classes."""
