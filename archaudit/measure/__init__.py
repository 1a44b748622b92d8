"""From a recipe to a Profile: build a model, run it without real arithmetic, and record what it did.

`recipe.py` has the functions that other packages call. `measure_recipe` works in this order:

1. Build and run: `fallbacks` tries one build mode of `building` after the other until the model runs under the `tape`, which records every
   operator with its module. `formulas` gives the cost of each operator. If no build mode works, `failures` makes the error message.
2. Other counters: `other_counters` lets torchinfo and fvcore count the same model.
3. Assemble: `assemble` turns the tape, the `module_tree` and the `tensors` into the records of the profile. A second run with grad measures
   the bytes that are saved for the backward pass.
4. Symbolic shapes, on request: `symbolic_shapes` runs the model on two other input sizes.
5. A training step, on request: `training` runs the forward pass, the backward pass and the optimizer, and counts FLOPs and memory.

`equivalence` (with `random_inputs`, `weight_copying`, `output_comparison`) and `latency` run models for real.
`process_state` restores what a measurement changes.
"""
