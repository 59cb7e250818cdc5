-- Puts a finished delivery back, if its record is still the one that was read.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: webhook, event, record as read, record to be, lane's name, score, member, member of the index of dead letters,
--   bytes that are held again when it was no dead letter.
-- Answers: sequence, 1 when done, lengths of the lane and of the dead letters.
local base, webhook = KEYS[1], ARGV[1]
local history, dead = base .. 'h:' .. webhook, base .. 'd:' .. webhook
local done = 0
if redis.call('ZSCORE', history, ARGV[3]) then
  redis.call('ZADD', base .. 'l:' .. ARGV[5], ARGV[6], ARGV[7])
  redis.call('ZREM', history, ARGV[3])
  redis.call('ZADD', history, '0', ARGV[4])
  if redis.call('ZREM', dead, ARGV[2]) == 1 then
    redis.call('ZREM', base .. 'x', ARGV[8])
  else
    redis.call('HINCRBY', base .. 's', 'held', ARGV[9])
  end
  if redis.call('HEXISTS', base .. 'm', ARGV[5]) == 0 then redis.call('HSET', base .. 'm', ARGV[5], '') end
  redis.call('HINCRBY', base .. 's', 'bytes', #ARGV[4] - #ARGV[3])
  done = 1
end
return { redis.call('HINCRBY', base .. 's', 'seq', 1), done, redis.call('ZCARD', base .. 'l:' .. ARGV[5]), redis.call('ZCARD', dead) }
