"""The kernels' tests: a reference, a catalogue, and one suite for all backends."""
