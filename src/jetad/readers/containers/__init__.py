"""Kinds of files, whatever the jets in them look like: ROOT, HDF5, CSV, near or remote."""
