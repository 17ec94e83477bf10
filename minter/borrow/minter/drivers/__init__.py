"""Cloud drivers of the minter: one file each behind `base.Driver`."""
