-- Let leases end so much later than now.
--   KEYS: clock, reservations...
--   ARGV: lease_ms, then the ids

local lease_ms = tonumber(ARGV[1])
local now = moment(KEYS[1])
local ends = now + lease_ms
for number = 1, #KEYS - 1 do
  local key, id = KEYS[number + 1], ARGV[number + 1]
  local reservation = redis.call('HMGET', key, 'ends', 'accounts')
  if reservation[1] and tonumber(reservation[1]) > now then
    for _, account in ipairs(cjson.decode(reservation[2])) do
      local held = redis.call('HMGET', account, 'r:' .. id, 'next_end')
      if held[1] then
        redis.call('HSET', account, 'r:' .. id, string.match(held[1], '^%d+') .. ' ' .. text(ends),
          'next_end', text(math.min(tonumber(held[2] or ends), ends)))
        keep(account, lease_ms + SLACK_MS)
      end
    end
    redis.call('HSET', key, 'ends', text(ends))
    redis.call('PEXPIRE', key, text(lease_ms + SLACK_MS))
  end
end
return 1
