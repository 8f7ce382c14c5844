"""Statistics that the checks are built on: intervals, histograms, quantiles and curves."""
