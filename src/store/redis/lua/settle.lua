-- Applies settlements in order, each whole, if the process still owns the shard.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: fence or '' (not checked), number of groups, number of keys to count; then
--   groups: name of the lane the entries leave, number of entries; a delivery is at most once in a group
--   keys to count, without the shard's beginning
--   entries: member, score, event, head of the history record, attempt or '', bytes it held and holds no more, flags; flags are
--     a: there may be a record to add to; r: no record stays; d: a dead letter, then its time and its member of the index;
--     m: it moves, then the lane's name, score, member, and earliness in ms
-- Answers: sequence, number of each counted key.
local base = KEYS[1]
if ARGV[1] ~= '' and redis.call('GET', base .. 'owner') ~= ARGV[1] then
  return redis.error_reply('FENCED another node owns the shard')
end

-- An entry is known by its place and attempts: what else its member tells may differ, as for one that was put back by hand.
local function in_place(key, class, member, score)
  if class == '3' then
    local place = string.sub(member, 1, 34)
    return redis.call('ZRANGEBYLEX', key, '[' .. place, '[' .. place .. '\255', 'LIMIT', 0, 1)[1]
  end
  local life = string.sub(member, 1, 18)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', key, score, score)) do
    if string.sub(other, 1, 18) == life then return other end
  end
end

local groups, counted = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 3 + groups * 2 + counted
local bytes, held, early = 0, 0, 0
for g = 1, groups do
  local lane, number = ARGV[3 + g * 2 - 1], tonumber(ARGV[3 + g * 2])
  local webhook, key = string.sub(lane, 1, 16), base .. 'l:' .. lane
  local entries, members = {}, {}
  for k = 1, number do
    local entry = { at = at }
    entries[k], members[k] = entry, ARGV[at + 1]
    local flags = ARGV[at + 7]
    at = at + 7
    if string.find(flags, 'd', 1, true) then
      entry.dead = at
      at = at + 2
    end
    if string.find(flags, 'm', 1, true) then
      entry.move = at
      at = at + 4
    end
    entry.adds = string.find(flags, 'a', 1, true)
    entry.clears = string.find(flags, 'r', 1, true)
  end
  local scores = redis.call('ZMSCORE', key, unpack(members))
  local leaving, records, gone, died, indexed, moves = {}, {}, {}, {}, {}, {}
  for k, entry in ipairs(entries) do
    local from = entry.at
    local found = scores[k] and scores[k] == ARGV[from + 2] and members[k]
    found = found or in_place(key, string.sub(lane, 17), members[k], ARGV[from + 2])
    if found then
      leaving[#leaving + 1] = found
      local event, before = ARGV[from + 3], ''
      if entry.adds or entry.clears then
        local found = redis.call('ZRANGEBYLEX', base .. 'h:' .. webhook, '[' .. event, '[' .. event .. '\255', 'LIMIT', 0, 1)
        if found[1] then
          gone[#gone + 1] = found[1]
          bytes = bytes - #found[1]
          before = string.sub(found[1], 19 + string.byte(found[1], 18))
        end
      end
      if not entry.clears then
        local record = event .. ARGV[from + 4] .. before .. ARGV[from + 5]
        records[#records + 1] = '0'
        records[#records + 1] = record
        bytes = bytes + #record
      end
      held = held + tonumber(ARGV[from + 6])
      if entry.dead then
        died[#died + 1] = '0'
        died[#died + 1] = event
        indexed[#indexed + 1] = ARGV[entry.dead + 1]
        indexed[#indexed + 1] = ARGV[entry.dead + 2]
      end
      if entry.move then
        local name = ARGV[entry.move + 1]
        if not moves[name] then
          moves[name] = {}
          moves[#moves + 1] = name
        end
        table.insert(moves[name], ARGV[entry.move + 2])
        table.insert(moves[name], ARGV[entry.move + 3])
        early = math.max(early, tonumber(ARGV[entry.move + 4]))
      end
    end
  end
  if #leaving > 0 then
    redis.call('ZREM', key, unpack(leaving))
    if #gone > 0 then redis.call('ZREM', base .. 'h:' .. webhook, unpack(gone)) end
    if #records > 0 then redis.call('ZADD', base .. 'h:' .. webhook, unpack(records)) end
    if #died > 0 then
      redis.call('ZADD', base .. 'd:' .. webhook, unpack(died))
      redis.call('ZADD', base .. 'x', unpack(indexed))
    end
    for _, name in ipairs(moves) do redis.call('ZADD', base .. 'l:' .. name, unpack(moves[name])) end
  end
end
if early > 0 and tonumber(redis.call('HGET', base .. 's', 'early') or '0') < early then
  redis.call('HSET', base .. 's', 'early', early)
end
if bytes ~= 0 then redis.call('HINCRBY', base .. 's', 'bytes', bytes) end
if held ~= 0 then redis.call('HINCRBY', base .. 's', 'held', -held) end
local lengths = {}
for c = 1, counted do lengths[c] = redis.call('ZCARD', base .. ARGV[3 + groups * 2 + c]) end
return { redis.call('HINCRBY', base .. 's', 'seq', 1), lengths }
