-- Move what a request has cost so far from held to spent.
-- ARGV: prefix, time or '', request id, '1' if this is the end, 5 amounts.
-- Answers 1, or 0 if nothing is held under this id.
local prefix, final = ARGV[1], ARGV[4] == '1'
local held = prefix .. 'r:' .. ARGV[3]
local packed = redis.call('GET', held)
if not packed then return 0 end
local worst, settled, names, rates = unpack(cmsgpack.unpack(packed))
local now = clock(ARGV[2])

local spent, freed, any = {}, {}, false
for resource = 1, 5 do
  local old, most = settled[resource], worst[resource]
  local reached = math.max(old, tonumber(ARGV[4 + resource]))
  spent[resource] = reached - old
  freed[resource] = (final and most or math.min(reached, most)) - math.min(old, most)
  settled[resource] = reached
  any = any or spent[resource] > 0
end
for index, name in ipairs(names) do
  local state = open(prefix, name, rates[index], now)
  for resource = 1, 5 do
    state[HELD + resource] = state[HELD + resource] - freed[resource]
  end
  if final then state[CONCURRENT] = state[CONCURRENT] - worst[1] end
  if any then spend(prefix, name, state, spent) end
  save(prefix, name, state)
end
if final then
  redis.call('DEL', held)
else
  redis.call('SET', held, cmsgpack.pack({worst, settled, names, rates}))
end
return 1
