"""Limits by HTTP: headers of answers, streams and refusals, and the row that an answer leaves."""

from __future__ import annotations

from pathlib import Path

from serve.storage.database import Database
from tests.serve.api.house import chat, house
from tests.serve.governance.limits.limited import limits

EACH = '[[limits]]\nname = "all"\nrequests_per_minute = 2\ntokens_per_minute = 1000\n'


async def test_answers_streams_and_refusals_tell_the_room(
    database: Database, tmp_path: Path
) -> None:
    async with limits(database, tmp_path, EACH) as limited:
        home = house()
        home.service._reservations = limited.reservations
        async with home.client() as client:
            path = "/v1/chat/completions"
            answer = await client.post(path, json=chat(max_tokens=50))
            stream = await client.post(path, json=chat(max_tokens=50, stream=True))
            refused = await client.post(path, json=chat(max_tokens=50))
        assert answer.headers["x-ratelimit-remaining-requests"] == "1"
        assert stream.headers["x-ratelimit-remaining-requests"] == "0"
        assert refused.status_code == 429
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert 0 < int(refused.headers["retry-after"]) <= 30
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        rows = await limited.rows()
        assert {row.route for row in rows} == {path}
        assert {row.key_id for row in rows} == {"anonymous"}
        usage = answer.json()["usage"]
        assert rows[0].completion_tokens == usage["completion_tokens"]
        assert rows[0].prompt_tokens == usage["prompt_tokens"]
