"""Who scores the parts of a file: processes of this machine, or workers of a cluster."""
