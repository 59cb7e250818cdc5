-- Applies settlements in order, each whole, if the process still owns the shard.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: fence or '' (not checked), number of groups, number of keys to count; then
--   groups: name of the lane the entries leave; of those that were delivered at once their number, scores, bytes of their records,
--     bytes they held, these one by one, whether the bodies of all of them are in this shard (1|0); number of other entries. A
--     delivery is at most once in a group
--   keys to count, without the shard's beginning
--   group by group: members of what was delivered at once, its records, other entries
--   other entries: member, score, event, head of the history record, attempt or '', bytes it held and holds no more, flags; flags
--     are a: there may be a record to add to; r: no record stays; d: a dead letter, then its time and its member of the index;
--     m: it moves, then the lane's name, score, member, and earliness in ms
-- Delivered at once: it had no record and has one now, nothing else. Most are, so they go a way on which nothing is done one by one;
-- what lies in ARGV as a command wants it is not copied.
-- Answers: sequence, number of each counted key.
local base, ARGV, unpack = KEYS[1], ARGV, unpack
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

local HEADER = 8
local groups, counted = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 3 + groups * HEADER + counted
local bytes, held, early = 0, 0, 0

-- Whether all stand where they are expected.
local function are_in_place(key, first, last, expected)
  local scores = redis.call('ZMSCORE', key, unpack(ARGV, first, last))
  for k = 1, last - first + 1 do
    if not scores[k] then return false end
  end
  return table.concat(scores, ' ') == expected
end

-- Removes what was delivered at once; answers how many were there.
-- When as many as are told leave, all were where they are told to be: a member stands in a lane once, and nothing moves an entry within
-- its lane before its first attempt. Else it must be found out afterwards which of them left (who_left), and that takes their bodies.
local function remove(key, first, number, expected, are_bodies_here)
  local last = first + number - 1
  if not are_bodies_here and not are_in_place(key, first, last, expected) then return 0 end
  return redis.call('ZREM', key, unpack(ARGV, first, last))
end

-- Which of those that were to leave a lane have left it, when only some have. An entry without an attempt has a body and no record, and
-- stands in one of two lanes. So one that did not stand here has a record, stands in the other lane, or its event is forgotten.
-- Where that does not tell it, as with bodies in another shard than their ids tell: all of which it may be so. They were delivered.
local function who_left(webhook, class, first, number, left)
  local may_have, is_known, may, known = {}, {}, 0, 0
  local other = base .. 'l:' .. webhook .. (class == '1' and '2' or '1')
  for k = 1, left > 0 and number or 0 do
    local member = ARGV[first + k - 1]
    local event = string.sub(member, 1, 16)
    local recorded = redis.call('ZLEXCOUNT', base .. 'h:' .. webhook, '[' .. event, '[' .. event .. '\255')
    if recorded == 0 and not redis.call('ZSCORE', other, member) then
      may_have[k], may = true, may + 1
      local high, low = struct.unpack('>I2I4', event)
      local bucket = string.format('%.0f', math.floor((high * 4294967296 + low) / 8192))
      if redis.call('HEXISTS', base .. 'e:' .. bucket, event) == 1 then
        is_known[k], known = true, known + 1
      end
    end
  end
  return may > left and known == left and is_known or may_have
end

local scored = {}
local function record(history, first, number)
  for k = 1, number do
    scored[2 * k - 1] = '0'
    scored[2 * k] = ARGV[first + k - 1]
  end
  redis.call('ZADD', history, unpack(scored, 1, 2 * number))
end

-- What was delivered at once, when some of it is not where it was, as after a settlement that was repeated. Those that left get their
-- records, the rest goes the way of other entries.
local function delivered_one_by_one(entries, lane, first, number, left, scores, holds)
  local webhook, class = string.sub(lane, 1, 16), string.sub(lane, 17)
  local score, hold = string.gmatch(scores, '%d+'), string.gmatch(holds, '%d+')
  local has_left = who_left(webhook, class, first, number, left)
  for k = 1, number do
    local member, told, expected, holding = ARGV[first + k - 1], ARGV[first + number + k - 1], score(), hold()
    if has_left[k] then
      record(base .. 'h:' .. webhook, first + number + k - 1, 1)
      bytes = bytes + #told
      held = held + tonumber(holding)
    else
      entries[#entries + 1] =
        { member = member, score = expected, event = string.sub(member, 1, 16), record = told, held = holding }
    end
  end
end

local function other(from)
  local flags = ARGV[from + 7]
  local entry = { member = ARGV[from + 1], score = ARGV[from + 2], event = ARGV[from + 3], held = ARGV[from + 6] }
  entry.head, entry.attempt = ARGV[from + 4], ARGV[from + 5]
  from = from + 7
  if string.find(flags, 'd', 1, true) then
    entry.dead = from
    from = from + 2
  end
  if string.find(flags, 'm', 1, true) then
    entry.move = from
    from = from + 4
  end
  entry.adds = string.find(flags, 'a', 1, true)
  entry.clears = string.find(flags, 'r', 1, true)
  return entry, from
end

local function settle(key, class, webhook, entries)
  local members, history = {}, base .. 'h:' .. webhook
  for k, entry in ipairs(entries) do members[k] = entry.member end
  local scores = redis.call('ZMSCORE', key, unpack(members))
  local leaving, records, gone, died, indexed, moves = {}, {}, {}, {}, {}, {}
  for k, entry in ipairs(entries) do
    local found = scores[k] and scores[k] == entry.score and entry.member
    found = found or in_place(key, class, entry.member, entry.score)
    if found then
      leaving[#leaving + 1] = found
      local event, before = entry.event, ''
      if entry.adds or entry.clears then
        local known = redis.call('ZRANGEBYLEX', history, '[' .. event, '[' .. event .. '\255', 'LIMIT', 0, 1)[1]
        if known then
          gone[#gone + 1] = known
          bytes = bytes - #known
          before = string.sub(known, 19 + string.byte(known, 18))
        end
      end
      if not entry.clears then
        local record = entry.record or event .. entry.head .. before .. entry.attempt
        records[#records + 1] = '0'
        records[#records + 1] = record
        bytes = bytes + #record
      end
      held = held + tonumber(entry.held)
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
  if #leaving == 0 then return end
  redis.call('ZREM', key, unpack(leaving))
  if #gone > 0 then redis.call('ZREM', history, unpack(gone)) end
  if #records > 0 then redis.call('ZADD', history, unpack(records)) end
  if #died > 0 then
    redis.call('ZADD', base .. 'd:' .. webhook, unpack(died))
    redis.call('ZADD', base .. 'x', unpack(indexed))
  end
  for _, name in ipairs(moves) do redis.call('ZADD', base .. 'l:' .. name, unpack(moves[name])) end
end

for g = 1, groups do
  local header = 3 + (g - 1) * HEADER
  local lane, delivered, expected = ARGV[header + 1], tonumber(ARGV[header + 2]), ARGV[header + 3]
  local webhook, key, entries = string.sub(lane, 1, 16), base .. 'l:' .. lane, {}
  if delivered > 0 then
    local first = at + 1
    local left = remove(key, first, delivered, expected, ARGV[header + 7] == '1')
    if left == delivered then
      record(base .. 'h:' .. webhook, first + delivered, delivered)
      bytes = bytes + tonumber(ARGV[header + 4])
      held = held + tonumber(ARGV[header + 5])
    else
      delivered_one_by_one(entries, lane, first, delivered, left, expected, ARGV[header + 6])
    end
    at = at + 2 * delivered
  end
  for _ = 1, tonumber(ARGV[header + 8]) do
    entries[#entries + 1], at = other(at)
  end
  if #entries > 0 then settle(key, string.sub(lane, 17), webhook, entries) end
end
if early > 0 and tonumber(redis.call('HGET', base .. 's', 'early') or '0') < early then redis.call('HSET', base .. 's', 'early', early) end
if bytes ~= 0 then redis.call('HINCRBY', base .. 's', 'bytes', bytes) end
if held ~= 0 then redis.call('HINCRBY', base .. 's', 'held', -held) end
local lengths, first = {}, 3 + groups * HEADER
for c = 1, counted do lengths[c] = redis.call('ZCARD', base .. ARGV[first + c]) end
return { redis.call('HINCRBY', base .. 's', 'seq', 1), lengths }
