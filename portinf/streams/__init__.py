"""Files of samples, one row per event, into batches that a model takes: read in parts, in constant memory."""

from portinf.streams.opening import open_stream, split_place
from portinf.streams.options import StreamOptions
from portinf.streams.stream import SampleStream, Wanted

__all__ = ["SampleStream", "StreamOptions", "Wanted", "open_stream", "split_place"]
