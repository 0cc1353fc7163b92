-- Charges deletes one after the other, each to all limits that are about it, or to none (GCRA, as in
-- src/limits/quota.rs).
--
-- KEYS  of each limit and share that any of them is about: its state. What an operator granted beyond it has
--       the same name with ':grant' behind it: in the same slot, and only looked at where there is no room
-- ARGV  one string, of packed numbers. Of each delete: 1 to only look, else 0; and of how many limits it is.
--       Then of each of these: which key; interval, whole, what is used at least and what is to be added
--       to what is used, in microseconds; 1 if it is enforced
-- Returns of each limit of each delete one number: what was used before, in microseconds, rounded up, times
--       four, and added to it what became of it: 0 charged, 1 not enforced and used up, 2 granted, 3 refused.
--       Where any limit of a delete refuses it, none of them is charged.
--
-- A state is two numbers: when nothing is used any more, in microseconds of the server's clock since
-- 2026, and the whole of which that is a share.
local call, ceil = redis.call, math.ceil
local unpacked, packed = struct.unpack, struct.pack
local time = call('TIME')
local now = (time[1] - 1767225600) * 1000000 + time[2]
local used, of, changed, granted, spent = {}, {}, {}, {}, {}
local LONGEST = 4e14
-- A function of Lua takes some thousands of arguments at most.
for first = 1, #KEYS, 1000 do
  local states = call('MGET', unpack(KEYS, first, math.min(first + 999, #KEYS)))
  for i = 1, #states do
    local key, state = first + i - 1, states[i]
    if state and #state == 16 then
      local free_at, whole = unpacked('<dd', state)
      -- What cannot be one is not taken for a state: no whole is longer than ten years.
      if whole > 0 and whole <= LONGEST and math.abs(free_at) <= now + LONGEST then
        local share = free_at - now
        if share < 0 then share = 0 end
        used[key], of[key] = share, whole
        -- A clock that was set back must not make a limit used up for longer than it takes to grow back,
        -- also where nothing is charged to it meanwhile.
        if share > whole then used[key], changed[key] = whole, true end
      end
    end
  end
end

-- How much is left of what was granted. MGET, for which another type is nothing, and no error.
local function left(key)
  if not granted[key] then
    local text = call('MGET', KEYS[key] .. ':grant')[1] or ''
    granted[key] = string.match(text, '^[1-9]%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$') and tonumber(text) or 0
  end
  return granted[key] - (spent[key] or 0)
end

local told, about, deletes, at = {}, 0, ARGV[1], 1
local keys, after, wholes, becomes = {}, {}, {}, {}
while at <= #deletes do
  local looks, limits, refused
  looks, limits, at = unpacked('<BI4', deletes, at)
  for i = 1, limits do
    local key, interval, whole, floor, owed, enforced
    key, interval, whole, floor, owed, enforced, at = unpacked('<I4ddddB', deletes, at)
    local share = used[key] or 0
    if of[key] and of[key] ~= whole then share = share * whole / of[key] end
    if floor > whole then floor = whole end
    if share < floor then
      share = floor
      -- Kept also where the delete is refused: a limit that is used up would never be told otherwise.
      if looks == 0 then used[key], of[key], changed[key] = floor, whole, true end
    end
    share = share + owed
    if share > whole then share = whole end
    local came = 0
    if share + interval > whole then
      if enforced == 0 then
        came = 1
      elseif left(key) > 0 then
        came = 2
      else
        came = 3
        refused = true
      end
    end
    keys[i], after[i], wholes[i], becomes[i] = key, share + interval, whole, came
    about = about + 1
    told[about] = ceil(share) * 4 + came
  end
  if not refused and looks == 0 then
    for i = 1, limits do
      local key = keys[i]
      if becomes[i] == 0 then
        used[key], of[key], changed[key] = after[i], wholes[i], true
      elseif becomes[i] == 2 then
        spent[key] = (spent[key] or 0) + 1
      end
    end
  end
end

for key in pairs(changed) do
  call('SET', KEYS[key], packed('<dd', now + used[key], of[key]), 'PX', ceil(used[key] / 1000) + 1)
end
for key, times in pairs(spent) do
  call('DECRBY', KEYS[key] .. ':grant', times)
end
return told
