-- Stores events, their lane entries and what they tell of messages: one shard, one call, all or nothing.
-- The bodies came just before, by commands of their own: through here each of their bytes would be hashed and copied twice. Until their
-- entries stand in lanes nobody looks for them, and a call that is refused, or finds events known, takes theirs away again.
-- The first write is one that Redis refuses when memory is short, so a refused call has changed nothing.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: nonce of the process, its fence or '', wake others (1|0), bucket of client ids or '', greatest earliness in ms,
--   generation of the process's appends, number of events, bytes of their bodies, bytes their entries hold, these one by one;
--   numbers of client ids, buckets, lanes, groups of messages; events with a client id; ids of all events whose bodies are here; then
--   client ids: field, event and when it was accepted
--   buckets: bucket, one of the events whose bodies came in the command for it
--   lanes: name, rising (1|0), number of entries, their events, number of history records (none or as many as entries)
--   groups: day, number of messages, their events, whether each message is there once (1|0)
--   entries, lane by lane, by event id: due, member; then the lane's records, each or ''
--   messages, group by group: field, row or rows
-- Events are told by number, first is 1. Nearly always all are new and in order: then what lies in ARGV as a command wants it is
-- handed on as it is, and nothing is done one by one.
-- An append of an earlier generation than the process has announced here was given up by it: nothing is stored.
-- Answers: sequence, duplicates (number, first id ...), late events (number ...), length of each lane.
local base, ARGV, unpack = KEYS[1], ARGV, unpack
local nonce, fence, wake, clock = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local events, bytes, held = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local clients, buckets, lanes, groups = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local BUCKET, LANE, GROUP = 2, 5, 4
local DAY = 86400000
local ids = ARGV[16]
local client_ids = 16 -- ahead of the first
local bucket_headers = client_ids + 2 * clients
local lane_headers = bucket_headers + BUCKET * buckets
local group_headers = lane_headers + LANE * lanes
local at = group_headers + GROUP * groups

local function greater(a, b)
  local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', a)
  local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', b)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  if a3 ~= b3 then return a3 > b3 end
  return a4 > b4
end

local function millis(id)
  local high, low = struct.unpack('>I2I4', id)
  return high * 4294967296 + low
end

local function numbers(told)
  local list = {}
  for number in string.gmatch(told, '%d+') do list[#list + 1] = tonumber(number) end
  return list
end

local function key_of_body(id) return base .. 'e:' .. string.format('%.0f', math.floor(millis(id) / 8192)) end

-- Whether this call was carried out before, and then sent again by what lies between its caller and Redis.
local function came_before()
  local entries = at
  for l = 1, lanes do
    local header = lane_headers + (l - 1) * LANE
    local number = tonumber(ARGV[header + 3])
    for k = 1, number do
      if redis.call('ZSCORE', base .. 'l:' .. ARGV[header + 1], ARGV[entries + 2 * k]) then return true end
    end
    entries = entries + 2 * number + tonumber(ARGV[header + 5])
  end
end

-- Takes all bodies away again. Where Redis lets nothing be written that fails as well, and retention finds them.
local function refuse(answer)
  if came_before() then return answer end
  for at = 1, #ids, 16 do
    local id = string.sub(ids, at, at + 15)
    redis.pcall('HDEL', key_of_body(id), id)
  end
  for b = 1, buckets do
    local bucket = ARGV[bucket_headers + (b - 1) * BUCKET + 1]
    if redis.call('EXISTS', base .. 'e:' .. bucket) == 0 then redis.pcall('ZREM', base .. 'b', bucket) end
  end
  return answer
end

local announced = redis.call('GET', base .. 'g:' .. nonce)
-- Its bodies are left to retention: the same events may have come by a later call whose entries have moved on by now.
if announced and tonumber(ARGV[6]) < tonumber(announced) then return redis.error_reply('OUTDATED this append was given up') end
for b = 1, buckets do
  local header = bucket_headers + (b - 1) * BUCKET
  -- A command is carried out whole or not at all, so one tells of all.
  if redis.call('HEXISTS', base .. 'e:' .. ARGV[header + 1], ARGV[header + 2]) == 0 then
    return refuse(redis.error_reply('BODIES of these events did not come'))
  end
end
for b = 1, buckets do
  local bucket = ARGV[bucket_headers + (b - 1) * BUCKET + 1]
  local indexed = redis.pcall('ZADD', base .. 'b', bucket, bucket)
  if type(indexed) == 'table' and indexed.err then return refuse(indexed) end
end

local duplicate, duplicates = {}, {}
if clients > 0 then
  local bucket, fields = tonumber(clock), {}
  for k = 1, clients do fields[k] = ARGV[client_ids + 2 * k - 1] end
  -- Buckets of 12 hours: three hold the last 24.
  local known = {}
  for back = 2, 0, -1 do
    local found = redis.call('HMGET', base .. 'c:' .. (bucket - back), unpack(fields))
    for k = 1, clients do
      if found[k] then known[fields[k]] = found[k] end
    end
  end
  local fresh = {}
  for k, i in ipairs(numbers(ARGV[15])) do
    local field, value = fields[k], ARGV[client_ids + 2 * k]
    local first = known[field]
    if first and tonumber(string.sub(value, 17)) - tonumber(string.sub(first, 17)) < DAY then
      duplicate[i] = true
      duplicates[#duplicates + 1] = i
      duplicates[#duplicates + 1] = string.sub(first, 1, 16)
    else
      known[field] = value
      fresh[#fresh + 1] = field
      fresh[#fresh + 1] = value
    end
  end
  if #fresh > 0 then
    local key = base .. 'c:' .. clock
    redis.call('HSET', key, unpack(fresh))
    redis.call('PEXPIRE', key, DAY + DAY / 2)
  end
end
local all_new = #duplicates == 0
if not all_new then
  for i, holds in ipairs(numbers(ARGV[10])) do
    if duplicate[i] then held = held - holds end
  end
end

for k = 1, #duplicates, 2 do
  local i = duplicates[k]
  local id = string.sub(ids, 16 * i - 15, 16 * i)
  bytes = bytes - 16 - redis.call('HSTRLEN', key_of_body(id), id)
  -- Known as itself when the whole call comes a second time: then the body is the one that was stored.
  if duplicates[k + 1] ~= id then redis.call('HDEL', key_of_body(id), id) end
end

-- What was appended last, by whom: a place must sort after it, or its lane's owner could have read past it.
-- Answers whether another process was the last, and the earliest that entries may be due when that is not free.
local function behind(mark, id)
  if not mark or mark == '' then return false, nil end
  local reached, made = tonumber(string.sub(mark, 25)), millis(id)
  local newer, floor = greater(id, string.sub(mark, 9, 24)), nil
  if made < reached or (made == reached and not newer) then floor = newer and reached or reached + 1 end
  return string.sub(mark, 1, 8) ~= nonce, floor
end

-- A sorted set of at most 128 short members is one piece of memory that Redis walks through twice for each that comes, which long before
-- that costs more than the other form. One that is too long for the short form brings a lane into the other, in which it stays until it
-- is empty.
local WALKED, LONG = 64, string.rep('-', 65)

-- Answers how many there are now.
local function enter(key, number, ...)
  local before = redis.call('ZCARD', key)
  if before < WALKED and before + number >= WALKED then
    local now = before + redis.call('ZADD', key, '0', LONG, ...) - 1
    redis.call('ZREM', key, LONG)
    return now
  end
  return before + redis.call('ZADD', key, ...)
end

local names, marks, moved_marks, is_late, woken, lengths = {}, {}, {}, {}, {}, {}
for l = 1, lanes do names[l] = ARGV[lane_headers + (l - 1) * LANE + 1] end
if lanes > 0 then marks = redis.call('HMGET', base .. 'm', unpack(names)) end
for l = 1, lanes do
  local header = lane_headers + (l - 1) * LANE
  local rising, number, records = ARGV[header + 2] == '1', tonumber(ARGV[header + 3]), tonumber(ARGV[header + 5])
  local key, webhook, last, late, floor = base .. 'l:' .. names[l], string.sub(names[l], 1, 16), nil, false, nil
  if all_new and rising then late, floor = behind(marks[l], string.sub(ARGV[at + 2], 1, 16)) end
  if all_new and records == 0 and not late and not floor then
    last = string.sub(ARGV[at + 2 * number], 1, 16)
    lengths[l] = enter(key, number, unpack(ARGV, at + 1, at + 2 * number))
  else
    local adds, history = {}, {}
    for k, i in ipairs(numbers(ARGV[header + 4])) do
      if not duplicate[i] then
        local due, member = ARGV[at + 2 * k - 1], ARGV[at + 2 * k]
        local id = string.sub(member, 1, 16)
        if rising and not last then late, floor = behind(marks[l], id) end
        if floor and tonumber(due) < floor then
          due = string.format('%.0f', floor)
          late = true
        end
        last = id
        adds[#adds + 1] = due
        adds[#adds + 1] = member
        local record = records > 0 and ARGV[at + 2 * number + k] or ''
        if record ~= '' then
          history[#history + 1] = '0'
          history[#history + 1] = record
          bytes = bytes + #record
        end
        if late then is_late[i] = true end
      end
    end
    lengths[l] = last and enter(key, #adds / 2, unpack(adds)) or redis.call('ZCARD', key)
    if #history > 0 then redis.call('ZADD', base .. 'h:' .. webhook, unpack(history)) end
  end
  at = at + 2 * number + records
  if last then
    if rising then
      local reached = millis(last)
      if floor and floor > reached then reached = floor end
      moved_marks[#moved_marks + 1] = names[l]
      moved_marks[#moved_marks + 1] = nonce .. last .. string.format('%.0f', reached)
    elseif not marks[l] then
      moved_marks[#moved_marks + 1] = names[l]
      moved_marks[#moved_marks + 1] = ''
    end
    woken[#woken + 1] = webhook
  end
end
if #moved_marks > 0 then redis.call('HSET', base .. 'm', unpack(moved_marks)) end

-- Calls `each` with state and bytes of the rows of a message.
local function each_row(rows, each)
  local from = 1
  while from <= #rows do
    local ends = from + 7 + string.byte(rows, from + 7)
    each(string.byte(rows, from), string.sub(rows, from, ends))
    from = ends + 1
  end
end

-- What was known of a message, and the new rows in the place of those of the same states.
local function merged(old, new)
  local is_told, kept = {}, {}
  each_row(new, function(state) is_told[state] = true end)
  each_row(old, function(state, row)
    if not is_told[state] then kept[#kept + 1] = row end
  end)
  kept[#kept + 1] = new
  return table.concat(kept)
end

for g = 1, groups do
  local header = group_headers + (g - 1) * GROUP
  local day, number = ARGV[header + 1], tonumber(ARGV[header + 2])
  local key, fields, rows = base .. 't:' .. day, {}, nil
  for k = 1, number do fields[k] = ARGV[at + 2 * k - 1] end
  local found = redis.call('HMGET', key, unpack(fields))
  if all_new and ARGV[header + 4] == '1' then
    for k = 1, number do
      if found[k] then
        rows = rows or { unpack(ARGV, at + 1, at + 2 * number) }
        rows[2 * k] = merged(found[k], ARGV[at + 2 * k])
      end
    end
    if rows then
      redis.call('HSET', key, unpack(rows))
    else
      redis.call('HSET', key, unpack(ARGV, at + 1, at + 2 * number))
    end
    redis.call('ZADD', base .. 'td', day, day)
  else
    local place = {}
    rows = {}
    for k, i in ipairs(numbers(ARGV[header + 3])) do
      if not duplicate[i] then
        local field, row = fields[k], ARGV[at + 2 * k]
        if not place[field] then
          place[field] = #rows + 2
          rows[#rows + 1] = field
          rows[#rows + 1] = found[k] or ''
        end
        rows[place[field]] = merged(rows[place[field]], row)
      end
    end
    if #rows > 0 then
      redis.call('HSET', key, unpack(rows))
      redis.call('ZADD', base .. 'td', day, day)
    end
  end
  at = at + 2 * number
end

if ARGV[5] ~= '0' then
  local early = redis.call('HGET', base .. 's', 'early')
  if tonumber(early or '0') < tonumber(ARGV[5]) then redis.call('HSET', base .. 's', 'early', ARGV[5]) end
end
if bytes ~= 0 then redis.call('HINCRBY', base .. 's', 'bytes', bytes) end
if held ~= 0 then redis.call('HINCRBY', base .. 's', 'held', held) end
if wake == '1' and #woken > 0 then
  local owner = redis.call('GET', base .. 'owner')
  if owner and owner ~= fence then redis.call('PUBLISH', string.sub(base, 1, -2) .. '-wake', table.concat(woken)) end
end
local lates = {}
for i = 1, events do
  if is_late[i] then lates[#lates + 1] = i end
end
return { redis.call('HINCRBY', base .. 's', 'seq', 1), duplicates, lates, lengths }
