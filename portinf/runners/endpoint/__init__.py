"""A model on a live Triton as a runner: address, requests, answers, shared memory."""
