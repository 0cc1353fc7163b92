-- Charges one delete to all limits that are about it, or to none (GCRA, as in src/limits/quota.rs).
--
-- KEYS  of each limit: its state, and what an operator granted beyond it
-- ARGV  1 to only look, else 0; then of each limit: interval, whole and floor in nanoseconds, and
--       whether it is enforced
-- Returns of each limit: what was used before, in microseconds, rounded up; and what became of it:
--       0 charged, 1 not enforced and used up, 2 granted, 3 refused. Where any is refused none is charged.
--
-- A state is two numbers: when nothing is used any more, in microseconds of the server's clock since
-- 2026, and the whole of which that is a share.
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 1000000 + time[2]
local held = redis.call('MGET', unpack(KEYS))
local only_look = ARGV[1] == '1'
local limits, refused = #KEYS / 2, false
local used, becomes = {}, {}
for i = 1, limits do
  local at = 4 * i - 2
  local interval, whole, floor = ARGV[at] / 1000, ARGV[at + 1] / 1000, ARGV[at + 2] / 1000
  local share = 0
  local state = held[2 * i - 1]
  if state and #state == 16 then
    local free_at, of = struct.unpack('<dd', state)
    -- A clock that was set back must not make a limit used up for longer than it takes to grow back.
    share = math.min(math.max(free_at - now, 0), of)
    if of ~= whole then share = share * whole / of end
  end
  used[i] = math.max(share, floor)
  if used[i] + interval <= whole then
    becomes[i] = 0
  elseif ARGV[at + 3] == '0' then
    becomes[i] = 1
  elseif (tonumber(held[2 * i] or '0') or 0) >= 1 then
    becomes[i] = 2
  else
    becomes[i] = 3
    refused = true
  end
end
local told = {}
for i = 1, limits do
  if not (refused or only_look) then
    if becomes[i] == 0 then
      local at = 4 * i - 2
      local after = used[i] + ARGV[at] / 1000
      local state = struct.pack('<dd', now + after, ARGV[at + 1] / 1000)
      redis.call('SET', KEYS[2 * i - 1], state, 'PX', math.ceil(after / 1000) + 1)
    elseif becomes[i] == 2 then
      redis.call('DECR', KEYS[2 * i])
    end
  end
  told[2 * i - 1] = math.ceil(used[i])
  told[2 * i] = becomes[i]
end
return told
