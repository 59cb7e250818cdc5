-- How much lanes hold.
--
-- KEYS[1]: what all keys of the shard begin with. ARGV: webhooks.
-- Answers: sequence, then for each webhook the lengths of its four parts and of its dead letters.
local base = KEYS[1]
local answer = { tonumber(redis.call('HGET', base .. 's', 'seq') or '0') }
for _, webhook in ipairs(ARGV) do
  for class = 0, 3 do answer[#answer + 1] = redis.call('ZCARD', base .. 'l:' .. webhook .. class) end
  answer[#answer + 1] = redis.call('ZCARD', base .. 'd:' .. webhook)
end
return answer
