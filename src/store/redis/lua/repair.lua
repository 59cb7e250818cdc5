-- Enters what a failed append left out: entries of a known event whose delivery has neither a record nor a place.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: for each entry: lane's name, event, due, member, member it would wait as when it was moved without an attempt.
-- Answers the number entered.
local base, entered = KEYS[1], 0
for at = 0, #ARGV - 5, 5 do
  local name, event, due, member = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local webhook = string.sub(name, 1, 16)
  local history = base .. 'h:' .. webhook
  local known = redis.call('ZLEXCOUNT', history, '[' .. event, '[' .. event .. '\255') > 0
    or redis.call('ZSCORE', base .. 'l:' .. name, member)
    or redis.call('ZSCORE', base .. 'l:' .. webhook .. '1', ARGV[at + 5])
    or redis.call('ZSCORE', base .. 'l:' .. webhook .. '2', ARGV[at + 5])
  if not known then
    -- After everything: its owner may have read past where it was due.
    local mark = redis.call('HGET', base .. 'm', name)
    local reached = mark and mark ~= '' and tonumber(string.sub(mark, 25)) or 0
    redis.call('ZADD', base .. 'l:' .. name, string.format('%.0f', math.max(tonumber(due), reached + 1)), member)
    redis.call('HSET', base .. 'm', name, string.rep('\0', 8) .. event .. string.format('%.0f', math.max(tonumber(due), reached + 1)))
    entered = entered + 1
  end
end
if entered > 0 then redis.call('HINCRBY', base .. 's', 'seq', 1) end
return entered
