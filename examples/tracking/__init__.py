"""Track finding: an interaction network that classifies hit-to-hit segments, in PyTorch Geometric."""
