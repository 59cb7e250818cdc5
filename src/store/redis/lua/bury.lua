-- Removes dead letters that died before an instant, and the records of their deliveries; days of messages before a day.
--
-- KEYS[1]: what all keys of the shard begin with. ARGV: instant, at most how many, first day that stays.
-- Answers: sequence, number of messages' rows that went, dead letters that went, then webhook and length for each.
local base, bytes, held = KEYS[1], 0, 0
local expired = redis.call('ZRANGEBYSCORE', base .. 'x', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
local answer, seen = { 0, 0, #expired }, {}
for _, member in ipairs(expired) do
  local webhook, event = string.sub(member, 1, 16), string.sub(member, 17, 32)
  local history = base .. 'h:' .. webhook
  local found = redis.call('ZRANGEBYLEX', history, '[' .. event, '[' .. event .. '\255')
  if #found > 0 then redis.call('ZREM', history, unpack(found)) end
  for _, record in ipairs(found) do bytes = bytes + #record end
  redis.call('ZREM', base .. 'd:' .. webhook, event)
  redis.call('ZREM', base .. 'x', member)
  held = held + tonumber(string.sub(member, 33))
  seen[webhook] = true
end
local days = redis.call('ZRANGEBYSCORE', base .. 'td', '-inf', '(' .. ARGV[3], 'LIMIT', 0, 2)
for _, day in ipairs(days) do
  answer[2] = answer[2] + redis.call('HLEN', base .. 't:' .. day)
  redis.call('UNLINK', base .. 't:' .. day)
  redis.call('ZREM', base .. 'td', day)
end
if #expired == 0 and #days == 0 then return answer end
if bytes > 0 then redis.call('HINCRBY', base .. 's', 'bytes', -bytes) end
if held > 0 then redis.call('HINCRBY', base .. 's', 'held', -held) end
for webhook in pairs(seen) do
  answer[#answer + 1] = webhook
  answer[#answer + 1] = redis.call('ZCARD', base .. 'd:' .. webhook)
end
answer[1] = redis.call('HINCRBY', base .. 's', 'seq', 1)
return answer
