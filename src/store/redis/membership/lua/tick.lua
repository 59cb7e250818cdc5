-- One tick of a node: it is alive, renews what it holds, takes what is free, lets go of what others should have.
--
-- All times are Redis's own. The first write is one that Redis does not refuse when memory is short, so leases live on then.
--
-- KEYS[1]: what all keys of the directory begin with, or of the shard of the only lease (a cluster has a slot for each).
-- ARGV: beat | bye | read | '' (only leases), id of the node, lease in ms, what others should know of the node, number of leases; then
--   leases: what all keys of the shard begin with, renew | take | release | look, owner that is renewed or let go of
-- Answers: now, whether the node was known, whether the database is in use, version of the directory,
--   nodes (id, when it counts as gone, start and what it told ...), and for each lease a number and a text:
--   renew, release: 1 | 0; take: token | 0; look: time left in ms, owner.
local base, node, lease, count = KEYS[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known, in_use, version, nodes = 0, 0, 0, {}

if ARGV[1] ~= '' then
  local alive, about = base .. 'nodes', base .. 'about'
  local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', now)
  if #gone > 0 then redis.call('HDEL', about, unpack(gone)) end
  redis.call('ZREMRANGEBYSCORE', alive, '-inf', now)
  if ARGV[1] == 'beat' then
    known = 1 - redis.call('ZADD', alive, now + lease, node)
    if known == 0 then redis.call('HSET', about, node, string.format('%.0f', now) .. ' ' .. ARGV[4]) end
  elseif ARGV[1] == 'bye' then
    redis.call('ZREM', alive, node)
    redis.call('HDEL', about, node)
  end
  in_use = redis.call('EXISTS', base .. 'meta')
  version = tonumber(redis.call('GET', base .. 'version') or '0')
  local found = redis.call('ZRANGE', alive, 0, -1, 'WITHSCORES')
  for k = 1, #found, 2 do
    nodes[#nodes + 1] = found[k]
    nodes[#nodes + 1] = found[k + 1]
    nodes[#nodes + 1] = redis.call('HGET', about, found[k]) or ''
  end
end

local answers = {}
for k = 1, count do
  local shard, verb, mine = ARGV[3 + k * 3], ARGV[4 + k * 3], ARGV[5 + k * 3]
  local key = shard .. 'owner'
  local owner = redis.call('GET', key)
  local number, text = 0, ''
  if verb == 'look' then
    number, text = redis.call('PTTL', key), owner or ''
  elseif verb == 'take' then
    -- What this node holds without knowing is an answer that was lost on the way: it takes it anew.
    if not owner or string.sub(owner, 1, #node + 1) == node .. ':' then
      -- Greater than all before, also after Redis has lost its data.
      local token = math.max(tonumber(redis.call('GET', shard .. 'token') or '0') + 1, now)
      number = string.format('%.0f', token)
      redis.call('DEL', key)
      redis.call('SET', key, node .. ':' .. number, 'PX', lease)
      redis.call('SET', shard .. 'token', number)
    end
  elseif owner == mine then
    number = 1
    if verb == 'renew' then redis.call('PEXPIRE', key, lease) else redis.call('DEL', key) end
  end
  answers[#answers + 1] = number
  answers[#answers + 1] = text
end
return { now, known, in_use, version, nodes, answers }
