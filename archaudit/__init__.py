"""archaudit: the diff and audit tool for PyTorch architectures."""

__version__ = "0.1.0"
