"""Lua scripts of the answers in Valkey or Redis. Times are the server's.

::

    values   hash    name → value
    uses     zset    name by its last use
    ends     zset    name by the moment from which it is too old
    bytes    string  sum of the values' sizes, with an overhead each

All four expire once nothing was kept for a whole age, so nothing has to be swept by anybody else.
"""

from __future__ import annotations

from typing import Final

from serve.storage.valkey_server import Script

_NOW: Final = """
local parts = redis.call('TIME')
local now = tonumber(parts[1]) * 1000 + math.floor(tonumber(parts[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
"""

_FIND: Final = """
local ends = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not ends or tonumber(ends) <= now then return false end
redis.call('ZADD', KEYS[2], 'XX', text(now), ARGV[1])
return redis.call('HGET', KEYS[1], ARGV[1])
"""

_KEEP: Final = """
local name, value = ARGV[1], ARGV[2]
local max_age, max_bytes, max_entries = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local overhead = tonumber(ARGV[6])

local function drop(one)
  local size = redis.call('HSTRLEN', KEYS[1], one)
  if redis.call('HDEL', KEYS[1], one) == 1 then
    redis.call('INCRBY', KEYS[4], text(-(size + overhead)))
  end
  redis.call('ZREM', KEYS[2], one)
  redis.call('ZREM', KEYS[3], one)
end

-- A server that was told to forget keys when it is full has forgotten some of these: begin anew.
local count = redis.call('HLEN', KEYS[1])
if count ~= redis.call('ZCARD', KEYS[2]) or count ~= redis.call('ZCARD', KEYS[3])
    or (count > 0 and redis.call('EXISTS', KEYS[4]) == 0) then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
end
drop(name)
for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', text(now), 'LIMIT', 0, 100)) do
  drop(one)
end
redis.call('HSET', KEYS[1], name, value)
redis.call('ZADD', KEYS[2], text(now), name)
redis.call('ZADD', KEYS[3], text(now + max_age), name)
local total = redis.call('INCRBY', KEYS[4], text(#value + overhead))
local evicted = 0
while total > max_bytes or redis.call('HLEN', KEYS[1]) > max_entries do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not oldest or evicted >= 1000 then break end
  drop(oldest)
  evicted = evicted + 1
  total = tonumber(redis.call('GET', KEYS[4]))
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, text(max_age)) end
return {redis.call('HLEN', KEYS[1]), total, evicted}
"""


FIND: Final = Script(_NOW + _FIND)
KEEP: Final = Script(_NOW + _KEEP)
