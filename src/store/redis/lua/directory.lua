-- Changes the directory and tells everybody.
--
-- KEYS[1]: what all keys of the directory begin with. ARGV: name of the channel, then for each record: name, text ('' deletes).
local changed = {}
for at = 1, #ARGV - 2, 2 do
  if ARGV[at + 2] == '' then
    redis.call('HDEL', KEYS[1] .. 'records', ARGV[at + 1])
  else
    redis.call('HSET', KEYS[1] .. 'records', ARGV[at + 1], ARGV[at + 2])
  end
  changed[#changed + 1] = ARGV[at + 1]
end
local version = redis.call('INCR', KEYS[1] .. 'version')
redis.call('PUBLISH', ARGV[1], version .. ' ' .. table.concat(changed, ' '))
return version
