-- Stores events, their lane entries and what they tell of messages: one shard, one call, all or nothing.
-- The first write is one that Redis refuses when memory is short, so a refused call has changed nothing.
--
-- KEYS[1]: what all keys of the shard begin with.
-- ARGV: nonce of the process, its fence or '', wake others (1|0), bucket of client ids or '', greatest earliness in ms,
--   numbers of events, lanes, messages, generation of the process's appends; then
--   events: id, bucket ('' when the body is kept elsewhere), blob, client id or '', accepted at, bytes its entries hold
--   lanes: name, rising (1|0), number of entries
--   entries, lane by lane, by event id: number of the event, due, member, history record or ''
--   messages: number of the event, day, field, row
-- An append of an earlier generation than the process has announced here was given up by it: nothing is stored.
-- Answers: sequence, duplicates (number, first id ...), late events (number ...), length of each lane.
local base = KEYS[1]
local nonce, fence, wake, clock = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local events, lanes, messages = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local EVENTS, EVENT, LANE, ENTRY, MESSAGE = 9, 6, 3, 4, 4
local DAY = 86400000

local announced = redis.call('GET', base .. 'g:' .. nonce)
if announced and tonumber(ARGV[9]) < tonumber(announced) then return redis.error_reply('OUTDATED this append was given up') end

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

local duplicate, duplicates = {}, {}
if clock ~= '' then
  local bucket, fields, where = tonumber(clock), {}, {}
  for i = 1, events do
    local client = ARGV[EVENTS + (i - 1) * EVENT + 4]
    if client ~= '' then
      fields[#fields + 1] = client
      where[#where + 1] = i
    end
  end
  -- Buckets of 12 hours: three hold the last 24.
  local known = {}
  for back = 2, 0, -1 do
    local found = redis.call('HMGET', base .. 'c:' .. (bucket - back), unpack(fields))
    for k = 1, #fields do
      if found[k] then known[fields[k]] = found[k] end
    end
  end
  local fresh = {}
  for k, field in ipairs(fields) do
    local at = EVENTS + (where[k] - 1) * EVENT
    local first = known[field]
    if first and tonumber(ARGV[at + 5]) - tonumber(string.sub(first, 17)) < DAY then
      duplicate[where[k]] = true
      duplicates[#duplicates + 1] = where[k]
      duplicates[#duplicates + 1] = string.sub(first, 1, 16)
    else
      known[field] = ARGV[at + 1] .. ARGV[at + 5]
      fresh[#fresh + 1] = field
      fresh[#fresh + 1] = known[field]
    end
  end
  if #fresh > 0 then
    local key = base .. 'c:' .. clock
    redis.call('HSET', key, unpack(fresh))
    redis.call('PEXPIRE', key, DAY + DAY / 2)
  end
end

local bytes, held = 0, 0
local buckets, bodies = {}, {}
for i = 1, events do
  if not duplicate[i] then
    local at = EVENTS + (i - 1) * EVENT
    local bucket = ARGV[at + 2]
    if bucket ~= '' then
      local pairs_of = bodies[bucket]
      if not pairs_of then
        pairs_of = {}
        bodies[bucket] = pairs_of
        buckets[#buckets + 1] = bucket
      end
      pairs_of[#pairs_of + 1] = ARGV[at + 1]
      pairs_of[#pairs_of + 1] = ARGV[at + 3]
      bytes = bytes + 16 + #ARGV[at + 3]
    end
    held = held + tonumber(ARGV[at + 6])
  end
end
for _, bucket in ipairs(buckets) do
  redis.call('HSET', base .. 'e:' .. bucket, unpack(bodies[bucket]))
  redis.call('ZADD', base .. 'b', bucket, bucket)
end

local headers = EVENTS + events * EVENT
local at = headers + lanes * LANE
local names, marks, moved_marks, is_late, woken = {}, {}, {}, {}, {}
for l = 1, lanes do names[l] = ARGV[headers + (l - 1) * LANE + 1] end
if lanes > 0 then marks = redis.call('HMGET', base .. 'm', unpack(names)) end
for l = 1, lanes do
  local rising = ARGV[headers + (l - 1) * LANE + 2] == '1'
  local adds, records, last, floor, late = {}, {}, nil, nil, false
  for _ = 1, tonumber(ARGV[headers + (l - 1) * LANE + 3]) do
    local i, due = tonumber(ARGV[at + 1]), ARGV[at + 2]
    if not duplicate[i] then
      local id = ARGV[EVENTS + (i - 1) * EVENT + 1]
      local mark = marks[l]
      if rising and not last and mark and mark ~= '' then
        -- What was appended last, by whom: a place must sort after it, or its lane's owner could have read past it.
        late = string.sub(mark, 1, 8) ~= nonce
        local reached, made = tonumber(string.sub(mark, 25)), millis(id)
        local newer = greater(id, string.sub(mark, 9, 24))
        if made < reached or (made == reached and not newer) then
          floor = newer and reached or reached + 1
        end
      end
      if floor and tonumber(due) < floor then
        due = string.format('%.0f', floor)
        late = true
      end
      last = id
      adds[#adds + 1] = due
      adds[#adds + 1] = ARGV[at + 3]
      if ARGV[at + 4] ~= '' then
        records[#records + 1] = '0'
        records[#records + 1] = ARGV[at + 4]
        bytes = bytes + #ARGV[at + 4]
      end
      if late then is_late[i] = true end
    end
    at = at + ENTRY
  end
  if last then
    local webhook = string.sub(names[l], 1, 16)
    redis.call('ZADD', base .. 'l:' .. names[l], unpack(adds))
    if #records > 0 then redis.call('ZADD', base .. 'h:' .. webhook, unpack(records)) end
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

if messages > 0 then
  local days, fields_of, told = {}, {}, {}
  for _ = 1, messages do
    if not duplicate[tonumber(ARGV[at + 1])] then
      local day, field = ARGV[at + 2], ARGV[at + 3]
      if not fields_of[day] then
        fields_of[day] = {}
        days[#days + 1] = day
      end
      table.insert(fields_of[day], field)
      told[#told + 1] = { day, field, ARGV[at + 4] }
    end
    at = at + MESSAGE
  end
  local rows = {}
  for _, day in ipairs(days) do
    local found = redis.call('HMGET', base .. 't:' .. day, unpack(fields_of[day]))
    for k, field in ipairs(fields_of[day]) do rows[day .. '/' .. field] = found[k] or '' end
  end
  local sets = {}
  for _, one in ipairs(told) do
    local key, row = one[1] .. '/' .. one[2], one[3]
    local kept, from = {}, 1
    local old = rows[key]
    while from <= #old do
      local ends = from + 7 + string.byte(old, from + 7)
      if string.byte(old, from) ~= string.byte(row, 1) then kept[#kept + 1] = string.sub(old, from, ends) end
      from = ends + 1
    end
    kept[#kept + 1] = row
    rows[key] = table.concat(kept)
  end
  for _, day in ipairs(days) do
    sets = {}
    for _, field in ipairs(fields_of[day]) do
      sets[#sets + 1] = field
      sets[#sets + 1] = rows[day .. '/' .. field]
    end
    redis.call('HSET', base .. 't:' .. day, unpack(sets))
    redis.call('ZADD', base .. 'td', day, day)
  end
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
local lates, lengths = {}, {}
for i = 1, events do
  if is_late[i] then lates[#lates + 1] = i end
end
for l = 1, lanes do lengths[l] = redis.call('ZCARD', base .. 'l:' .. names[l]) end
return { redis.call('HINCRBY', base .. 's', 'seq', 1), duplicates, lates, lengths }
