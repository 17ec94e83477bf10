"""A minter in a process of its own, to be killed: `python -m borrow_fakes.doomed_minter FOLDER …`.

It prints one line for everything it was told is done, so that a test knows what must survive.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from borrow.minter.secret_files import load_or_create
from borrow_fakes.minting import ANN, MinterHouse


def hang_in_the_cloud(house: MinterHouse, grant_id: str, client_id: str) -> None:
    def hang() -> None:
        print("in the cloud", flush=True)
        time.sleep(60)

    house.cloud.during = hang
    house.minter.mint(grant_id, client_id)


def work_for_ever(house: MinterHouse) -> None:
    ann = house.join(ANN)
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        grant = house.granted(ann, group=f"g{number}")
        print("grant", grant.grant_id, flush=True)
        minted = house.minter.mint(grant.grant_id, ann.client_id)
        print("mint", minted.access_key_id, flush=True)
        house.minter.release(grant.grant_id, ann.client_id)
        print("released", grant.grant_id, flush=True)


def main() -> None:
    folder = Path(sys.argv[1])
    house = MinterHouse(folder, keys=load_or_create(folder))
    if sys.argv[2:]:
        hang_in_the_cloud(house, *sys.argv[2:])
    else:
        work_for_ever(house)


if __name__ == "__main__":
    main()
