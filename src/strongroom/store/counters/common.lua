-- State of one subject in a hash, and its windows in two lists; the same rules as account.py.
-- Lua's numbers are doubles: exact, as no sum here comes near 2^53.
-- The script that follows is given `prefix` and `now`.
local SLOT_US = {500000, 600000000}
local SLOTS = {121, 145}
local MINUTE_US = 60000000
local LISTS = {'m:', 'd:'}

-- Places in the state; the five resources stand behind each of TOTAL, HELD, MINUTE and DAY.
local NOW, DEBT, CONCURRENT, NEWEST, TOTAL, HELD, MINUTE, DAY = 1, 2, 3, 3, 5, 10, 15, 20
local SIZE = 25
local NAMES = {}
for place = 1, SIZE do NAMES[place] = tostring(place) end

local function int(number) return string.format('%.0f', number) end

local function clock(passed)
  if passed ~= '' then return tonumber(passed) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function parse(entry)
  local numbers = {}
  for digits in string.gmatch(entry, '%d+') do numbers[#numbers + 1] = tonumber(digits) end
  return numbers
end

local function forget_old(state, list, window, now)
  local gone = math.floor(now / SLOT_US[window]) - SLOTS[window]
  local from = window == 1 and MINUTE or DAY
  while true do
    local oldest = redis.call('LINDEX', list, 0)
    if not oldest then return end
    local numbers = parse(oldest)
    if numbers[1] > gone then return end
    redis.call('LPOP', list)
    for resource = 1, 5 do
      state[from + resource] = state[from + resource] - numbers[1 + resource]
    end
  end
end

local function open(prefix, name, rate, now)
  local state = redis.call('HMGET', prefix .. 'a:' .. name, unpack(NAMES))
  for place = 1, SIZE do state[place] = tonumber(state[place] or 0) end
  local elapsed = now - state[NOW]
  if elapsed > 0 then
    if rate > 0 then
      state[DEBT] = math.max(0, state[DEBT] - math.min(elapsed, MINUTE_US) * rate)
    end
    state[NOW] = now
    for window = 1, 2 do
      forget_old(state, prefix .. LISTS[window] .. name, window, now)
    end
  end
  return state
end

local function save(prefix, name, state)
  local fields = {}
  for place = 1, SIZE do
    fields[2 * place - 1] = NAMES[place]
    fields[2 * place] = int(state[place])
  end
  redis.call('HSET', prefix .. 'a:' .. name, unpack(fields))
end

local function spend(prefix, name, state, spent)
  for window = 1, 2 do
    local list = prefix .. LISTS[window] .. name
    local slot = math.floor(state[NOW] / SLOT_US[window])
    local newest = redis.call('LINDEX', list, -1)
    local numbers = newest and parse(newest)
    local merged = numbers and numbers[1] == slot
    if not merged then numbers = {slot, 0, 0, 0, 0, 0} end
    local texts = {int(slot)}
    for resource = 1, 5 do
      texts[1 + resource] = int(numbers[1 + resource] + spent[resource])
    end
    local entry = table.concat(texts, ' ')
    if merged then redis.call('LSET', list, -1, entry) else redis.call('RPUSH', list, entry) end
    state[NEWEST + window] = slot
    local from = window == 1 and MINUTE or DAY
    for resource = 1, 5 do
      state[from + resource] = state[from + resource] + spent[resource]
    end
  end
  for resource = 1, 5 do
    state[TOTAL + resource] = state[TOTAL + resource] + spent[resource]
  end
end
