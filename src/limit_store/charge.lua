-- Charges one delete to all limits that are about it, or to none (GCRA, as in src/limits/quota.rs).
--
-- KEYS  of each limit: its state. What an operator granted beyond it has the same name with ':grant'
--       behind it: in the same slot, and only looked at where there is no room
-- ARGV  1 to only look, else 0; then of each limit: interval, whole and floor in nanoseconds, and
--       whether it is enforced
-- Returns of each limit: what was used before, in microseconds, rounded up; and what became of it:
--       0 charged, 1 not enforced and used up, 2 granted, 3 refused. Where any is refused none is charged.
--
-- A state is two numbers: when nothing is used any more, in microseconds of the server's clock since
-- 2026, and the whole of which that is a share.
local call, ceil = redis.call, math.ceil
local unpacked, packed = struct.unpack, struct.pack
local time = call('TIME')
local now = (time[1] - 1767225600) * 1000000 + time[2]
local held = call('MGET', unpack(KEYS))
local limits, refused = #KEYS, false
local after, told = {}, {}
for i = 1, limits do
  local at = 4 * i - 2
  local interval, whole, share = ARGV[at] / 1000, ARGV[at + 1] / 1000, 0
  local state = held[i]
  if state and #state == 16 then
    local free_at, of = unpacked('<dd', state)
    -- What is no number is not taken for one.
    if of > 0 and free_at == free_at then
      share = free_at - now
      -- A clock that was set back must not make a limit used up for longer than it takes to grow back.
      if share < 0 then share = 0 elseif share > of then share = of end
      if of ~= whole then share = share * whole / of end
    end
  end
  local floor = ARGV[at + 2] / 1000
  if share < floor then share = floor end
  local becomes = 0
  if share + interval > whole then
    if ARGV[at + 3] == '0' then
      becomes = 1
    elseif string.match(call('GET', KEYS[i] .. ':grant') or '', '^[1-9]%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$') then
      becomes = 2
    else
      becomes = 3
      refused = true
    end
  end
  after[i] = share + interval
  told[2 * i - 1] = ceil(share)
  told[2 * i] = becomes
end
if refused or ARGV[1] == '1' then return told end
for i = 1, limits do
  if told[2 * i] == 0 then
    local state = packed('<dd', now + after[i], ARGV[4 * i - 1] / 1000)
    call('SET', KEYS[i], state, 'PX', ceil(after[i] / 1000) + 1)
  elseif told[2 * i] == 2 then
    call('DECR', KEYS[i] .. ':grant')
  end
end
return told
