"""The commands: the only place that reads the real clock and wires the parts."""
