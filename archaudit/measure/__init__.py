"""From a recipe to a Profile: build and run the model without real arithmetic, and write down what it did.

`recipe` is the table of contents. `structure` is what a model is made of, `building` how one comes about, `tape` what it does while
it runs, `formulas` what its operators cost; `ladder` climbs from the cheapest way of running to the dearest, `symbolic` tells shapes in
terms of the input, `saved` what is kept for the backward pass, and `assemble` makes the records. `witnesses` asks other counters,
`explaining` tells one module's count, `equivalence` and `latency` run models for real.
"""
