-- The accounts as they are now.
--   KEYS: clock, accounts...
--   ARGV: of each claim: limit, leak_ms or 0
--   Returns of each account: whole, part, reserved.

local now = moment(KEYS[1])
local answer = {}
for number = 1, #KEYS - 1 do
  local limit, leak_ms = tonumber(ARGV[2 * number - 1]), tonumber(ARGV[2 * number])
  tell(answer, account_at(KEYS[number + 1], now, limit, leak_ms))
end
return answer
