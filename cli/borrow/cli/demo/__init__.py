"""The demo: a private AWS stand-in and one walk from a held call to its grant."""
