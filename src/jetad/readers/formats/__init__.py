"""Layouts of jets in files: one a module, named in ``READERS``."""
