"""FACILE: energy regression in the cells of a hadron calorimeter, in Keras."""
