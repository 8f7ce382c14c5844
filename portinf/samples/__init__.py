"""Files of samples, one row per event, into batches that a model takes: read in parts, in constant memory."""

from portinf.samples.options import StreamOptions
from portinf.samples.readers import open_stream, split_place
from portinf.samples.stream import InputRequest, SampleStream

__all__ = ["InputRequest", "SampleStream", "StreamOptions", "open_stream", "split_place"]
