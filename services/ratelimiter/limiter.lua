-- limiter: takes places in the customers' sliding windows, a whole batch in one step.
-- KEYS  1 gateways (zset: gateway -> last heard ms), then one window (list of ms) a check
-- ARGV  window_ms  silent_ms  n  n x gateway, then one limit a check
-- reply { gateways alive, then for each check: allowed 0|1, remaining, reset_ms }
--
-- A window holds the moments of accepted requests only, oldest first, at most `limit` of them.
-- A place is free again exactly window_ms after it was taken. Where the clock went back, what
-- lies in the future counts as taken now: never a place too many, and nobody waits for the clock.

local window_ms, silent_ms, gateways = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number) return string.format('%.0f', number) end

local function count_gateways()
  for i = 1, gateways do redis.call('ZADD', KEYS[1], text(now), ARGV[3 + i]) end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - silent_ms))
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. text(now), '+inf')
  redis.call('PEXPIRE', KEYS[1], text(silent_ms))
  return redis.call('ZCARD', KEYS[1])
end

local function bring_back_from_future(key)
  local moved = 0
  while tonumber(redis.call('LINDEX', key, -1) or 0) > now do
    redis.call('RPOP', key)
    moved = moved + 1
  end
  for _ = 1, moved do redis.call('RPUSH', key, text(now)) end
  return moved > 0
end

local function open_window(key)
  local changed = bring_back_from_future(key) -- a list that was emptied meanwhile has lost its TTL
  local first = redis.call('LINDEX', key, 0)
  while first and tonumber(first) <= now - window_ms do
    redis.call('LPOP', key)
    first = redis.call('LINDEX', key, 0)
  end
  return { count = redis.call('LLEN', key), first = tonumber(first), changed = changed }
end

-- Until a place is free: that of the oldest, or where the limit was lowered, of a later one.
local function reset_ms(key, window, limit)
  if limit <= 0 or window.count == 0 then return window_ms end
  local first = window.first
  if window.count > limit then first = tonumber(redis.call('LINDEX', key, window.count - limit)) end
  return first + window_ms - now
end

local windows = {}
local reply = { count_gateways() }
for i = 2, #KEYS do
  local key, limit = KEYS[i], tonumber(ARGV[2 + gateways + i])
  local window = windows[key] or open_window(key)
  windows[key] = window
  local allowed = window.count < limit
  if allowed then
    redis.call('RPUSH', key, text(now))
    window.count = window.count + 1
    window.first = window.first or now
    window.changed = true
  end
  reply[#reply + 1] = allowed and 1 or 0
  reply[#reply + 1] = math.max(limit - window.count, 0)
  reply[#reply + 1] = reset_ms(key, window, limit)
end
for key, window in pairs(windows) do
  if window.changed then redis.call('PEXPIRE', key, text(window_ms)) end
end
return reply
