"""From a recipe to a Profile: build and run the model without real arithmetic, and write down what it did."""
