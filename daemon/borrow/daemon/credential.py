"""What an SDK starts: `python -I -S -E …/credential.py SOCKET ROLE`, for `credential_process`.

Python compiles a script anew each time it is started and keeps the compiled form of a module, so
here is only the way to the module. Our folder comes after the standard library: nothing in it can
stand in for a part of that, and with `-I` nobody else's folder is on the path at all.
"""

import sys

if __name__ == "__main__":
    sys.path.append(__file__.rpartition("/")[0])
    import credential_process  # type: ignore[import-not-found]  # found in our own folder

    credential_process.run()
