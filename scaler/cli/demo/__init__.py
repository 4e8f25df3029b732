"""All of it on one machine without a cluster: a simulated fleet that the real service scales before your eyes."""
