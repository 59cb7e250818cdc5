-- How deliveries stand: for retention, which must not remove what is held.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: for each delivery: webhook, event, member it would wait as if it has no record, classes to look in.
-- Answers for each: -1 when it holds its event, else the bytes of its record.
local base, answers = KEYS[1], {}
for at = 0, #ARGV - 4, 4 do
  local webhook, event, answer = ARGV[at + 1], ARGV[at + 2], 0
  local found = redis.call('ZRANGEBYLEX', base .. 'h:' .. webhook, '[' .. event, '[' .. event .. '\255', 'LIMIT', 0, 1)
  if found[1] then
    local status = string.byte(found[1], 17)
    answer = (status == 0 or status == 2) and -1 or #found[1]
  else
    for class in string.gmatch(ARGV[at + 4], '.') do
      if redis.call('ZSCORE', base .. 'l:' .. webhook .. class, ARGV[at + 3]) then answer = -1 end
    end
  end
  answers[#answers + 1] = answer
end
return answers
