-- Takes in events with the places and records of their deliveries, as another store had them. What is there already stays.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: numbers of events, deliveries, lanes, greatest earliness in ms; then
--   events: id, bucket, blob, client id or '', what is known of it, its bucket
--   deliveries: webhook, event, lane's name or '', score, member, record or '', bytes held, member of the index of dead letters or '',
--     when it died
--   lanes: name, last event or '' (none, or its places do not rise), when that was
-- Answers the sequence.
local base = KEYS[1]
local events, deliveries, lanes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at, bytes, held = 4, 0, 0
for _ = 1, events do
  local id, bucket, blob = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if redis.call('HSETNX', base .. 'e:' .. bucket, id, blob) == 1 then bytes = bytes + 16 + #blob end
  redis.call('ZADD', base .. 'b', bucket, bucket)
  if ARGV[at + 4] ~= '' then
    local key = base .. 'c:' .. ARGV[at + 6]
    redis.call('HSET', key, ARGV[at + 4], ARGV[at + 5])
    redis.call('PEXPIRE', key, 129600000)
  end
  at = at + 6
end
for _ = 1, deliveries do
  local webhook, event, lane = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local is_new = false
  if lane ~= '' then is_new = redis.call('ZADD', base .. 'l:' .. lane, ARGV[at + 4], ARGV[at + 5]) == 1 end
  if ARGV[at + 6] ~= '' and redis.call('ZADD', base .. 'h:' .. webhook, '0', ARGV[at + 6]) == 1 then
    bytes = bytes + #ARGV[at + 6]
  end
  if ARGV[at + 8] ~= '' then
    is_new = redis.call('ZADD', base .. 'd:' .. webhook, '0', event) == 1
    redis.call('ZADD', base .. 'x', ARGV[at + 9], ARGV[at + 8])
  end
  if is_new then held = held + tonumber(ARGV[at + 7]) end
  at = at + 9
end
for _ = 1, lanes do
  local name, last, reach = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local mark = redis.call('HGET', base .. 'm', name)
  if last == '' then
    if not mark then redis.call('HSET', base .. 'm', name, '') end
  elseif not mark or mark == '' or tonumber(string.sub(mark, 25)) <= reach then
    -- Of no process: whoever appends next reads the lane anew.
    redis.call('HSET', base .. 'm', name, string.rep('\0', 8) .. last .. ARGV[at + 3])
  end
  at = at + 3
end
if tonumber(redis.call('HGET', base .. 's', 'early') or '0') < tonumber(ARGV[4]) then
  redis.call('HSET', base .. 's', 'early', ARGV[4])
end
if bytes ~= 0 then redis.call('HINCRBY', base .. 's', 'bytes', bytes) end
if held ~= 0 then redis.call('HINCRBY', base .. 's', 'held', held) end
return redis.call('HINCRBY', base .. 's', 'seq', 1)
