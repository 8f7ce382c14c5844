"""Whether rounding alone explains numbers out of the tolerance."""
