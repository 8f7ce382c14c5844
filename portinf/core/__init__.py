"""What everything else is built on: errors, signatures, batches of samples, optional packages, temporary folders."""
