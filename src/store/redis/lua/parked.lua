-- The order keys that have parked entries: one seek each, however many entries wait behind a key.
--
-- KEYS[1]: what all keys of the shard begin with. ARGV: webhook, smallest key or '', at most how many.
local lane, keys, from = KEYS[1] .. 'l:' .. ARGV[1] .. '3', {}, '-'
if ARGV[2] ~= '' then from = '(' .. ARGV[2] .. string.rep('\255', 64) end
while #keys < tonumber(ARGV[3]) do
  local found = redis.call('ZRANGEBYLEX', lane, from, '+', 'LIMIT', 0, 1)
  if not found[1] then break end
  keys[#keys + 1] = string.sub(found[1], 1, 8)
  from = '(' .. keys[#keys] .. string.rep('\255', 64)
end
return keys
