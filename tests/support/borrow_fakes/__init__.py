"""Working fakes for the whole suite: a clock that moves when told, and its friends."""
