"""Files and objects of boosted trees into loaded models."""
