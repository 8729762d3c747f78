-- What all scripts share: the time, and accounts. It stands before each of them.
--
-- Rules are those of account_rules.py. Numbers of Lua are floating-point: every one here is whole
-- and below 2^53, and each product is of factors whose bounds are checked in Python.
--
--   clock          hash    ahead: ms ahead of the server's clock; last: the last moment
--   account        hash    whole, part, at: what was settled; reserved: the sum of what is held;
--                          next_end: no lease ends before; r:ID: "amount end" of one that is held
--   reservation    hash    ends: when; accounts: keys, as JSON; settled: where it is a tombstone
--   replicas       zset    each replica by the moment when it was seen last

local MAX_LEVEL = 9000000000000000
local MAX_MS = 34560000000
local SLACK_MS = 60000  -- keys live that much longer, for their lives are the server's clock's

local function text(number)
  return string.format('%.0f', number)
end

-- Time that never runs backwards (steady_time.py).
local function moment(clock_key)
  local parts = redis.call('TIME')
  local clock = tonumber(parts[1]) * 1000 + math.floor(tonumber(parts[2]) / 1000)
  local state = redis.call('HMGET', clock_key, 'ahead', 'last')
  local now = math.max(tonumber(state[2] or 0), clock + tonumber(state[1] or 0))
  redis.call('HSET', clock_key, 'ahead', text(now - clock), 'last', text(now))
  redis.call('PEXPIRE', clock_key, text(MAX_MS))
  return now
end

-- Let a key live at least so long.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then
    redis.call('PEXPIRE', key, text(math.min(ms, MAX_MS)))
  end
end

-- Take off what has leaked since `at`.
local function leak(account, now, limit, leak_ms)
  local elapsed = now - account.at
  if elapsed <= 0 then return end
  account.at = now
  if leak_ms == 0 then
    account.part = 0
    return
  end
  account.part = math.min(account.part, leak_ms - 1)
  if limit == 0 then return end
  local rest = elapsed % leak_ms
  local turns = (elapsed - rest) / leak_ms
  if turns > account.whole / limit + 1 then
    account.whole, account.part = 0, 0
    return
  end
  -- limit * rest / leak_ms, in two steps, as the product may be above 2^53.
  local over = limit % leak_ms
  local product = over * rest
  local part = product % leak_ms
  local whole = turns * limit + (limit - over) / leak_ms * rest + (product - part) / leak_ms
  account.whole = account.whole - whole
  account.part = account.part - part
  if account.part < 0 then
    account.part = account.part + leak_ms
    account.whole = account.whole - 1
  end
  if account.whole < 0 then account.whole, account.part = 0, 0 end
end

-- End the leases whose time has come, and find when the next will.
local function end_leases(account, now)
  local fields = redis.call('HGETALL', account.key)
  local next_end = nil
  for index = 1, #fields, 2 do
    if string.sub(fields[index], 1, 2) == 'r:' then
      local amount, ends = string.match(fields[index + 1], '^(%d+) (%d+)$')
      ends = tonumber(ends)
      if ends <= now then
        redis.call('HDEL', account.key, fields[index])
        account.reserved = account.reserved - tonumber(amount)
      elseif next_end == nil or ends < next_end then
        next_end = ends
      end
    end
  end
  account.next_end = next_end
  redis.call('HSET', account.key, 'reserved', text(account.reserved))
  if next_end then
    redis.call('HSET', account.key, 'next_end', text(next_end))
  else
    redis.call('HDEL', account.key, 'next_end')
  end
end

-- The account as it is now.
local function account_at(key, now, limit, leak_ms)
  local state = redis.call('HMGET', key, 'whole', 'part', 'at', 'reserved', 'next_end')
  local account = {
    key = key,
    whole = tonumber(state[1] or 0),
    part = tonumber(state[2] or 0),
    at = tonumber(state[3] or 0),
    reserved = tonumber(state[4] or 0),
    next_end = tonumber(state[5] or ''),
  }
  if account.next_end and account.next_end <= now then end_leases(account, now) end
  leak(account, now, limit, leak_ms)
  return account
end

-- Give back what a reservation holds of an account.
local function release(key, id)
  local field = 'r:' .. id
  local held = redis.call('HGET', key, field)
  if held then
    redis.call('HDEL', key, field)
    redis.call('HINCRBY', key, 'reserved', text(0 - tonumber(string.match(held, '^%d+'))))
  end
end

-- What is told of an account: whole, part, reserved.
local function tell(answer, account)
  table.insert(answer, account.whole)
  table.insert(answer, account.part)
  table.insert(answer, account.reserved)
end
