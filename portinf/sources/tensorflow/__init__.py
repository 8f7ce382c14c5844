"""SavedModels, frozen graphs and TFLite files into loaded models."""
