"""Programs that stand in for NVIDIA's where there is no GPU: they show the recipe, not the engine."""
