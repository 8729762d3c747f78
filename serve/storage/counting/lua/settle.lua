-- Give a reservation back and add what was used.
--   KEYS: clock, reservation, accounts...
--   ARGV: id, milliseconds that a settled id is remembered,
--         then of each claim: amount, limit, leak_ms or 0, keep_ms
--   Returns 1, or 0 where it was settled before.

local id = ARGV[1]
local reservation = redis.call('HMGET', KEYS[2], 'settled', 'accounts')
if reservation[1] then return 0 end
local now = moment(KEYS[1])

if reservation[2] then
  for _, key in ipairs(cjson.decode(reservation[2])) do release(key, id) end
end
for number = 1, #KEYS - 2 do
  local key, argument = KEYS[number + 2], 4 * number - 1
  local limit, leak_ms = tonumber(ARGV[argument + 1]), tonumber(ARGV[argument + 2])
  release(key, id)  -- also where the reservation's own key is gone
  local account = account_at(key, now, limit, leak_ms)
  account.whole = math.min(MAX_LEVEL, account.whole + tonumber(ARGV[argument]))
  redis.call('HSET', key, 'whole', text(account.whole), 'part', text(account.part),
    'at', text(account.at))
  local keep_ms = tonumber(ARGV[argument + 3])
  if leak_ms > 0 and limit > 0 then
    keep_ms = math.max(keep_ms, math.ceil((account.whole + 1) / limit) * leak_ms)
  end
  keep(key, math.min(keep_ms, MAX_MS) + SLACK_MS)
end

redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'settled', '1')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
