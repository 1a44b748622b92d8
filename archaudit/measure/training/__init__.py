"""One training step of a model without values: what its forward pass, backward pass and optimizer's step cost.

`step` runs the step and passes each operator on; `attribution` says to which phase and module it belongs; `flops` counts it, `memory`
records what it allocates, and replays that over the step. `losses`, `optimizers`, `precision` and `checkpointing` are the parts of a step;
`batch_limit` searches the largest batch that fits; `assemble` makes the record.
"""

from archaudit.measure.training.assemble import measure_training

__all__ = ["measure_training"]
