"""A process of requests that is killed in the middle: `python -m ... FOLDER SEED`.

Prints each request's id and tokens once it is settled, as an answer's end would tell a client. The
database is cut off now and then, before or after it has written.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from serve.errors import RequestError
from serve.governance.limits import reserving
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from serve.timeline import Usage
from tests.serve.governance.limits.limited import PRICES, House, limits

LEASE_MS = 500
REFUSED_S = 0.005
TEXT = PRICES + '[[limits]]\nname = "all"\nmoney_per_day = "1000000"\ntokens_per_day = 1000000000\n'


async def one(house: House, chance: random.Random, name: str) -> None:
    prompt, completion = chance.randrange(1, 500), chance.randrange(500)
    try:
        held, record = await house.reserve(prompt, completion, request_id=name)
    except RequestError:
        await asyncio.sleep(REFUSED_S)  # else refusals are all that there is time for
        return
    await asyncio.sleep(chance.random() / 100)
    record.timeline.usage = Usage(prompt_tokens=prompt, completion_tokens=completion)
    await held.settle(record, has_run=True)
    sys.stdout.write(f"{name} {prompt + completion}\n")
    sys.stdout.flush()


async def cut_off(house: House, chance: random.Random) -> None:
    while True:
        way = chance.choice(("fails", "fails_afterwards"))
        await asyncio.sleep(chance.random() / 20)
        setattr(house.database, way, True)
        await asyncio.sleep(chance.random() / 50)
        setattr(house.database, way, False)
        await house.reservations.settlements.retry()


async def main(folder: Path, seed: int) -> None:
    reserving.LEASE_MS = LEASE_MS
    chance = random.Random(seed)
    database = Database(SqliteFile(path=folder / "intramural.db"))
    async with limits(database, folder, TEXT) as house:
        await house.reservations.settlements.retry()
        cutting = asyncio.create_task(cut_off(house, chance))

        async def loop(number: int) -> None:
            for index in range(100_000):
                await one(house, chance, f"req-{seed}-{number}-{index}")
                await asyncio.sleep(0)

        await asyncio.gather(cutting, *(loop(number) for number in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
