"""Two models with the same weights, run for real: do they compute the same, and if not, from which module on."""

from archaudit.measure.equivalence.proof import exhibit_model, imitate_model

__all__ = ["exhibit_model", "imitate_model"]
