-- Hold a cost for every subject, or for none.
-- ARGV: prefix, time or '', request id, 5 amounts; then 19 for each subject: name, rate,
--       burst capacity in requests, concurrent, 5 limits each of minute, day, total (-1: none).
-- Answers {1, states...}, {0, states and entries...}, {-1} if held already, {-2} if all was lost.
local prefix, request = ARGV[1], ARGV[3]
if redis.call('EXISTS', prefix .. 'begun') == 0 then return {-2} end
local held = prefix .. 'r:' .. request
if redis.call('EXISTS', held) == 1 then return {-1} end
local now = clock(ARGV[2])
local worst = {}
for resource = 1, 5 do worst[resource] = tonumber(ARGV[3 + resource]) end

local function room(state, at)
  for window = 1, 3 do
    local from = window == 1 and MINUTE or window == 2 and DAY or TOTAL
    for resource = 1, 5 do
      local limit = tonumber(ARGV[at + 3 + 5 * (window - 1) + resource])
      local wanted = worst[resource]
      if limit >= 0 and wanted > 0
        and state[from + resource] + state[HELD + resource] + wanted > limit then
        return false
      end
    end
  end
  local requests = worst[1]
  if requests == 0 then return true end
  local rate, burst, most = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if most >= 0 and state[CONCURRENT] + requests > most then return false end
  return rate < 0 or state[DEBT] + requests * MINUTE_US <= burst * MINUTE_US
end

local states, names, rates, granted = {}, {}, {}, true
for at = 9, #ARGV, 19 do
  local name, rate = ARGV[at], tonumber(ARGV[at + 1])
  local state = open(prefix, name, rate, now)
  granted = room(state, at) and granted
  states[#states + 1], names[#names + 1], rates[#rates + 1] = state, name, rate
end

local answer = {granted and 1 or 0}
for index, state in ipairs(states) do
  if granted then
    for resource = 1, 5 do
      state[HELD + resource] = state[HELD + resource] + worst[resource]
    end
    state[CONCURRENT] = state[CONCURRENT] + worst[1]
    if rates[index] >= 0 then state[DEBT] = state[DEBT] + worst[1] * MINUTE_US end
  end
  save(prefix, names[index], state)
  answer[#answer + 1] = state
  if not granted then
    for window = 1, 2 do
      local list = prefix .. LISTS[window] .. names[index]
      answer[#answer + 1] = redis.call('LRANGE', list, 0, -1)
    end
  end
end
if granted then
  redis.call('SET', held, cmsgpack.pack({worst, {0, 0, 0, 0, 0}, names, rates}))
end
return answer
