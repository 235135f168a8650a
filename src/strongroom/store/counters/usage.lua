-- ARGV: prefix, time or '', name, rate. Answers the state of one subject.
if redis.call('EXISTS', ARGV[1] .. 'begun') == 0 then return {} end
local state = open(ARGV[1], ARGV[3], tonumber(ARGV[4]), clock(ARGV[2]))
save(ARGV[1], ARGV[3], state)
return state
