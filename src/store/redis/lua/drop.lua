-- Removes events of one bucket.
--
-- KEYS[1]: what all keys of the shard begin with. ARGV: bucket, ids of events.
-- Answers the bytes that went.
local base, key, bytes = KEYS[1], KEYS[1] .. 'e:' .. ARGV[1], 0
for i = 2, #ARGV do
  local size = redis.call('HSTRLEN', key, ARGV[i])
  if redis.call('HDEL', key, ARGV[i]) == 1 then bytes = bytes + size + 16 end
end
if redis.call('EXISTS', key) == 0 then redis.call('ZREM', base .. 'b', ARGV[1]) end
-- A body whose append was cut off before its script was never counted.
if bytes > 0 and redis.call('HINCRBY', base .. 's', 'bytes', -bytes) < 0 then redis.call('HSET', base .. 's', 'bytes', '0') end
return bytes
