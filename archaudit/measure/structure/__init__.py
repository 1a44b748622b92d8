"""What a model is made of, before anything runs: its module tree, and which module holds which tensor."""
