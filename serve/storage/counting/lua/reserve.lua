-- Reserve all claims or none.
--   KEYS: clock, replicas, reservation, accounts...
--   ARGV: id, lease_ms, replica, seconds that a replica is remembered in ms,
--         then of each claim: amount, limit, leak_ms or 0, 1 where enforced, keep_ms
--   Returns the refusing claim's number from 1, 0 where all is reserved, -1 where it was before; the
--   number of replicas; then of each account, before: whole, part, reserved.

local id, lease_ms = ARGV[1], tonumber(ARGV[2])
local now = moment(KEYS[1])
redis.call('ZADD', KEYS[2], text(now), ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. text(now - tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[2], ARGV[4])

local answer = {0, redis.call('ZCARD', KEYS[2])}
local reservation = redis.call('HMGET', KEYS[3], 'ends', 'settled')
local is_known = reservation[2] or (reservation[1] and tonumber(reservation[1]) > now)
if is_known then answer[1] = -1 end

local accounts, keys = {}, {}
for number = 1, #KEYS - 3 do
  local argument = 5 * number
  local amount, limit = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
  local account = account_at(KEYS[number + 3], now, limit, tonumber(ARGV[argument + 2]))
  local total = account.whole + math.min(account.part, 1) + account.reserved
  if answer[1] == 0 and ARGV[argument + 3] == '1' and total + amount > limit then
    answer[1] = number
  end
  tell(answer, account)
  accounts[number] = account
  keys[number] = account.key
end
if answer[1] ~= 0 then return answer end

local ends = now + lease_ms
for number, account in ipairs(accounts) do
  local argument = 5 * number
  local next_end = math.min(account.next_end or ends, ends)
  redis.call('HSET', account.key, 'r:' .. id, ARGV[argument] .. ' ' .. text(ends),
    'next_end', text(next_end))
  redis.call('HINCRBY', account.key, 'reserved', ARGV[argument])
  keep(account.key, math.max(lease_ms, tonumber(ARGV[argument + 4])) + SLACK_MS)
end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'ends', text(ends), 'accounts', cjson.encode(keys))
redis.call('PEXPIRE', KEYS[3], text(lease_ms + SLACK_MS))
return answer
