"""Files of Keras 2 and 3 into loaded models."""
