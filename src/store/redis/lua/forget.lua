-- Removes the records of deliveries.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: for each delivery: webhook, event.
-- Answers: number of records, their bytes.
local base, number, bytes = KEYS[1], 0, 0
for at = 0, #ARGV - 2, 2 do
  local history, event = base .. 'h:' .. ARGV[at + 1], ARGV[at + 2]
  local found = redis.call('ZRANGEBYLEX', history, '[' .. event, '[' .. event .. '\255')
  if #found > 0 then
    redis.call('ZREM', history, unpack(found))
    number = number + 1
    for _, record in ipairs(found) do bytes = bytes + #record end
  end
end
if bytes > 0 then redis.call('HINCRBY', base .. 's', 'bytes', -bytes) end
return { number, bytes }
