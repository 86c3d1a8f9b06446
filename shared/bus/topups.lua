#!lua name=topups1
-- minor 17
-- The life of a topup: every step that changes its record, its stream entries or its lane.
--
-- KEYS of every function, unless it says otherwise:
--   1 lane (stream)  2 outcomes (stream)  3 waiting (zset)  4 alive (zset)  5 counters (hash)
--   6 meta (hash)    7 lanes (hash)       8 dead (stream)   9 acts (stream; of older callers: none)
--   then n records, then n key records (an item without a key gives its record again)
--   then the other lanes that topups of this batch may be moved to
-- A batch is of one partition and one lane. Each item is tried alone: what goes wrong with it is
-- its own reply, { "error:<text>" }. A repeated call changes nothing.
-- Times are milliseconds of this server's clock. Only keys given in KEYS are touched.

local COMMON = 9
local COMMON_BEFORE_ACTS = 8
local VERSION = 1
local SILENT_MS = 5000
local ALIVE_FORGET_MS = 3600000
local HELD_RECHECK_MS = 5000
local HELD_RECHECKS_PER_MS = 5
-- How long a lane is held at most before one topup tries it again: longer where trying may pay.
local HOLD_MS_MAX = { hold = 60000, unsent = 60000, silent = 300000 }
local TRIED_BYTES_MAX = 4096
-- The provider of a topup that may have several lanes, and its place in `body`.
local AUTO, PROVIDER_PLACE = 'AUTO', 7
-- The fields of a record; one that is not there reads as 0 or ''.
local NUMBERS = { 'v', 'at', 'deliver_before', 'lease_until', 'attempt', 'first_send_at',
  'quarantine', 'quarantine_until', 'seq', 'sent', 'since' }
local TEXTS = { __index = { state = '', lane = '', body = '', entry = '', owner = '', nonce = '',
  mode = '', doubt = '', reason = '', tried = '', route = '', proposed = '', disputed = '' } }
-- Fields that only a topup which goes on has, and those that one which people must settle has too.
local GONE_UNRESOLVED = { 'entry', 'owner', 'mode', 'lease_until', 'due', 'reason', 'ref', 'tried' }
local GONE_AT_THE_END = { 'entry', 'owner', 'mode', 'lease_until', 'due', 'reason', 'ref', 'tried',
  'deliver_before', 'sent', 'first_send_at', 'doubt', 'quarantine', 'quarantine_until', 'since',
  'route', 'proposed', 'disputed' }
local DEFINITE_NO = { no = true, not_sent = true, unasked = true, hold = true }
-- What the end of an attempt says of its lane: the provider answered, refuses our account, was not
-- reached, or does not answer; of the last nobody knows what it paid.
local SAYS = { refused = 'fine', no = 'fine', hold = 'hold', not_sent = 'unsent',
  unasked = 'nothing', no_proof = 'fine' }

-- Which generation of which partition (by its meta key) the ledger has found to be what the books
-- know. In memory alone: a server that comes back, with whatever it has on disk, has none.
local trusted = {}

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function text(ms)
  return string.format('%.0f', ms)
end

local function as_map(flat)
  local map = {}
  for at = 1, #flat, 2 do map[flat[at]] = flat[at + 1] end
  return map
end

-- Is entry id a before entry id b?
local function older(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

-- One call's view of its keys, its time and the counters it will change.
local function context(keys, n)
  local has_acts = keys[COMMON] == string.gsub(keys[6], 'meta$', 'acts')
  local common = has_acts and COMMON or COMMON_BEFORE_ACTS
  assert(#keys >= common + 2 * n, 'KEYS do not fit ARGV')
  local others = {}
  for at = common + 2 * n + 1, #keys do others[string.match(keys[at], '([^:]+)$')] = keys[at] end
  return { others = others, lane = keys[1], outcomes = keys[2], waiting = keys[3], alive = keys[4],
    counters = keys[5], meta = keys[6], lanes = keys[7], dead = keys[8],
    acts = has_acts and keys[COMMON] or nil, common = common, keys = keys, n = n,
    now = now_ms(), deltas = {}, acks = {}, provider = string.match(keys[1], '([^:]+)$') }
end

local function record_key(c, i) return c.keys[c.common + i] end
local function key_record_key(c, i) return c.keys[c.common + c.n + i] end

local function is_final(state) return state == 'succeeded' or state == 'failed' end

-- `routed`: it may have several lanes, one after another; `elsewhere`: it is on another one by now.
local function read(c, i)
  local r = as_map(redis.call('HGETALL', record_key(c, i)))
  if not r.v then return nil end
  r.routed = r.route and true
  for _, name in ipairs(NUMBERS) do r[name] = tonumber(r[name]) or 0 end
  setmetatable(r, TEXTS)
  r.elsewhere = r.lane ~= '' and r.lane ~= c.provider
  assert(r.v > VERSION or not r.elsewhere or r.routed or is_final(r.state), 'the record is of lane ' .. r.lane)
  return r
end

local function count(c, field, by)
  c.deltas[field] = (c.deltas[field] or 0) + by
end

-- The only writer of `state`; `lane` is the one it is in from now on, and `...` are fields and values
-- that change with it.
local function move(c, i, r, to, lane, ...)
  if lane == r.lane then
    redis.call('HSET', record_key(c, i), 'state', to, ...)
  else
    redis.call('HSET', record_key(c, i), 'state', to, 'lane', lane, ...)
  end
  if r.state ~= '' then
    count(c, r.state, -1)
    count(c, r.state .. ':' .. r.lane, -1)
  end
  count(c, to, 1)
  count(c, to .. ':' .. lane, 1)
  r.state, r.lane = to, lane
end

-- A counter that cannot be written costs no topup its reply.
local function write_counters(c)
  for field, by in pairs(c.deltas) do
    if by ~= 0 then redis.pcall('HINCRBY', c.counters, field, by) end
  end
end

-- A repeat of a step that is done: a write, so that WAITAOF has one to wait for.
local function repeated(c, reply)
  count(c, 'replayed', 1)
  return reply
end

-- One that is no entry's id spoils the command for all: then each alone. What is not acknowledged
-- comes again, and is told that it is settled.
local function write_acks(c)
  if #c.acks == 0 then return end
  local acked = redis.pcall('XACK', c.lane, 'dispatcher', unpack(c.acks))
  if type(acked) ~= 'table' or not acked.err then return end
  for _, entry in ipairs(c.acks) do redis.pcall('XACK', c.lane, 'dispatcher', entry) end
end

-- Run `step` for each item; its error is its reply.
local function each(c, step)
  local replies = {}
  for i = 1, c.n do
    local fine, reply = pcall(step, i)
    if not fine then
      local what = type(reply) == 'table' and reply.err or tostring(reply)
      reply = { 'error:' .. what }
    end
    replies[i] = reply
  end
  write_acks(c)
  write_counters(c)
  return replies
end

-- A copy for people. `sent` = no: nothing was ever begun for it; else nobody knows, or it is told
-- elsewhere.
local function copy_to_dead(c, id, reason, payload, sent)
  local letter = { 'id', id, 'lane', c.provider, 'reason', reason, 'payload', payload }
  if sent then letter[9], letter[10] = 'sent', sent end
  redis.call('XADD', c.dead, '*', unpack(letter))
end

-- Of the whole batch together, when all of it is done.
local function acknowledge(c, entry)
  if entry ~= '' then c.acks[#c.acks + 1] = entry end
end

-- A no that settles nothing, for people say that it was paid: they are told, once.
local function dispute(c, i, id, r, evidence)
  if r.disputed ~= '' then return end
  redis.call('HSET', record_key(c, i), 'disputed', '1')
  copy_to_dead(c, id, 'disputed', evidence)
end

-- The lane that an end comes from. After a loss nobody knows it: the record may be an older one.
local function speaking(c, r)
  return r.anybodys and AUTO or c.provider
end

-- The end of a topup in its record, with its outcome number `seq`. An entry on another lane is not
-- ours to acknowledge: whoever reads it is told that all is settled.
local function close(c, i, id, r, seq, to, reason, reference, window, at)
  if not r.elsewhere then acknowledge(c, r.entry) end
  if r.state ~= 'active' then redis.call('ZREM', c.waiting, id) end -- what is at work waits for nothing
  redis.call('HDEL', record_key(c, i), unpack(is_final(to) and GONE_AT_THE_END or GONE_UNRESOLVED))
  local changed = { 'seq', seq, 'end', at }
  if reason ~= '' then changed[5], changed[6] = 'reason', reason end
  if reference ~= '' then changed[#changed + 1], changed[#changed + 2] = 'ref', reference end
  move(c, i, r, to, speaking(c, r), unpack(changed))
  if is_final(to) then
    if not r.routed then redis.call('HDEL', record_key(c, i), 'lane') end -- `body` has it
    redis.call('PEXPIRE', record_key(c, i), window)
    redis.call('PEXPIRE', key_record_key(c, i), window)
  else
    redis.call('PERSIST', record_key(c, i))
    redis.call('PERSIST', key_record_key(c, i))
  end
end

local function settle(c, i, id, r, to, reason, reference, evidence, window)
  local seq = r.seq + 1
  local entry = { 'id', id, 'seq', seq, 'state', to, 'body', r.body, 'at', text(r.at),
    'reason', reason, 'evidence', evidence }
  if (r.tried or '') ~= '' then entry[#entry + 1], entry[#entry + 2] = 'tried', r.tried end
  local provider = speaking(c, r)
  if r.routed and provider ~= AUTO then
    entry[#entry + 1], entry[#entry + 2] = 'provider', provider
  end
  redis.call('XADD', c.outcomes, '*', unpack(entry))
  close(c, i, id, r, seq, to, reason, reference, window, text(c.now))
end

-- Keep what an attempt that settled nothing has found out, a line each, for the outcome to take along.
-- Beyond the bound a line takes the place of the last one: the first and the latest are kept.
local function remember(c, i, r, said)
  if said == '' then return end
  local line = text(c.now) .. ' ' .. said .. '\n'
  if #r.tried + #line > TRIED_BYTES_MAX then r.tried = string.match(r.tried, '^(.*\n)[^\n]*\n$') or '' end
  r.tried = r.tried .. line
  redis.call('HSET', record_key(c, i), 'tried', r.tried)
end

-- The owner of the attempt is gone, and with it the answer; said once, however often it is seen.
local function remember_silence(c, i, r)
  if string.find(r.tried, '["a1",' .. r.attempt .. ',', 1, true) then return end
  remember(c, i, r, cjson.encode({ 'a1', r.attempt, r.mode, 'silent', cjson.null, cjson.null, r.owner }))
end

-- The send of `r.nonce` may have paid: it is in doubt from now on, once. What was ever in doubt
-- stays on its lane.
local function suspect(c, i, r, lost_at, quarantine)
  if r.doubt == '' then r.doubt = r.nonce elseif r.doubt ~= r.nonce then r.doubt = 'many' end
  r.quarantine_until = math.max(r.quarantine_until, lost_at + quarantine)
  redis.call('HSET', record_key(c, i), 'doubt', r.doubt, 'quarantine_until', text(r.quarantine_until))
  if r.route ~= '' then
    r.route = ''
    redis.call('HSET', record_key(c, i), 'route', '')
  end
end

-- ---- acts ----------------------------------------------------------------------------------

local function make_group(stream, group)
  local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    error(made)
  end
end

-- The id of an act that nobody has named: a UUIDv7, its random bits from what it is.
local function act_id(now, ...)
  local ms, rest = string.format('%012x', now), redis.sha1hex(table.concat({ ... }, '\n'))
  return string.sub(ms, 1, 8) .. '-' .. string.sub(ms, 9) .. '-7' .. string.sub(rest, 1, 3)
    .. '-8' .. string.sub(rest, 4, 6) .. '-' .. string.sub(rest, 7, 18)
end

-- Write down who changed what, in the step that changed it; `before` and `after` are JSON. Where
-- a repeat may tell it again, it has the same id.
local function tell(acts, id, now, who, act, target, why, before, after)
  if not acts then return end
  if redis.call('EXISTS', acts) == 0 then make_group(acts, 'ledger') end
  if id == '' then id = act_id(now, acts, who, act, target, before, after) end
  redis.call('XADD', acts, '*', 'id', id, 'at', text(now), 'who', who, 'act', act,
    'target', target, 'why', why, 'before', before, 'after', after)
end

-- ---- lanes ---------------------------------------------------------------------------------

local function lane_of(lanes, provider)
  local packed = redis.call('HGET', lanes, provider)
  return packed and cjson.decode(packed) or { state = 'open', holds = 0 }
end

local function write_lane(lanes, provider, lane)
  redis.call('HSET', lanes, provider, cjson.encode(lane))
  return lane
end

-- Held by people (`holds` is 0) until they release it, or by itself, `holds` times in a row.
local function hold_lane(lanes, provider, lane, reason, by, now, held_until, holds, failures)
  return write_lane(lanes, provider, { state = 'held', reason = reason, by = by, holds = holds,
    failures = failures, since = lane.state == 'open' and now or lane.since or now,
    ['until'] = held_until })
end

local function open_lane(lanes, provider, now, by)
  return write_lane(lanes, provider, { state = 'open', since = now, by = by, holds = 0 })
end

-- May anything of this lane start now, besides the one probe that is under way?
local function passable(lane, now)
  if lane.state == 'open' then return true end
  if lane.state == 'held' then return lane['until'] ~= nil and lane['until'] <= now end
  return lane.probe_until <= now
end

-- The batch's own lane, read once.
local function own_lane(c)
  c.lane_state = c.lane_state or lane_of(c.lanes, c.provider)
  return c.lane_state
end

-- The lane has changed by itself; `who` carried the topup that it was learned from.
local function tell_change(c, who, act, why, before)
  tell(c.acts, '', c.now, who, act, c.provider, why, before, cjson.encode(c.lane_state))
end

-- Let everything through an open lane, and one topup through one whose hold has run out.
local function pass(c, id, lease, owner)
  local lane = own_lane(c)
  if lane.state == 'open' then return true end
  if not (passable(lane, c.now) or (lane.state == 'probing' and lane.probe == id)) then return false end
  local before, probed = cjson.encode(lane), lane.probe
  lane.state, lane.probe, lane.probe_until, lane['until'] = 'probing', id, c.now + lease, nil
  write_lane(c.lanes, c.provider, lane)
  if probed ~= id then tell_change(c, owner, 'lane.probe', lane.reason or '', before) end
  return true
end

-- The lane is held by itself; each further time in a row for twice as long.
local function trip(c, who, says, reason, hold_ms, failures)
  local lane = own_lane(c)
  local before = cjson.encode(lane)
  local holds = lane.holds or 0
  local length = math.min(hold_ms * 2 ^ holds, HOLD_MS_MAX[says])
  c.lane_state = hold_lane(c.lanes, c.provider, lane, reason, says == 'hold' and 'provider' or 'breaker',
    c.now, c.now + length, holds + 1, failures)
  tell_change(c, who, 'lane.hold', reason, before)
end

-- Learn of the lane from the end of an attempt of `id`: what it says is in SAYS. `hold` is for how
-- long it is held at first, and how many failures in a row do that: `5000 5`; an older dispatcher
-- gives no number, and 0 is never. Whichever replica has them: they are counted here.
local function tell_lane(c, id, who, says, reason, hold)
  local lane = own_lane(c)
  local probed = lane.state == 'probing' and lane.probe == id
  if says == 'nothing' then
    if probed then
      lane.probe_until = c.now -- it tried nothing: let another one
      write_lane(c.lanes, c.provider, lane)
    end
  elseif says == 'fine' then
    if probed then
      local before = cjson.encode(lane)
      c.lane_state = open_lane(c.lanes, c.provider, c.now, 'probe')
      tell_change(c, who, 'lane.release', 'the provider has answered ' .. id, before)
    elseif lane.state == 'open' and lane.failures then
      lane.failures = nil
      write_lane(c.lanes, c.provider, lane)
    end
  elseif probed or lane.state == 'open' then
    local hold_ms, breaker = string.match(hold, '^(%d+) ?(%d*)$')
    hold_ms, breaker = tonumber(hold_ms), tonumber(breaker) or 0
    local failures = (lane.failures or 0) + (says == 'hold' and 0 or 1)
    if probed or says == 'hold' or breaker > 0 and failures >= breaker then
      trip(c, who, says, reason, hold_ms, failures)
    elseif breaker > 0 then
      lane.failures = failures
      write_lane(c.lanes, c.provider, lane)
    end
  end
end

-- ---- streams -------------------------------------------------------------------------------

local function make_lane(stream)
  make_group(stream, 'dispatcher')
  make_group(stream, 'ledger')
end

local function make_streams(c)
  local acts = c.acts or c.outcomes
  if redis.call('EXISTS', c.lane, c.outcomes, acts) == 3 then return end
  make_lane(c.lane)
  make_group(c.outcomes, 'ledger')
  make_group(acts, 'ledger')
end

-- ---- from lane to lane ---------------------------------------------------------------------

-- The place, in the rest of the route, of the first lane that is open; with `anyway`, if none is,
-- of the first at all.
local function next_place(c, rest, anyway)
  local first
  for place, name in ipairs(rest) do
    if c.others[name] then
      if lane_of(c.lanes, name).state == 'open' then return place end
      first = first or place
    end
  end
  return anyway and first or nil
end

-- Move a topup to the next lane of its route, carrier and all, if nothing of it is in doubt and
-- there is such a lane. It comes back only to a lane on which no attempt was begun.
local function move_on(c, i, id, r, why, anyway)
  if r.elsewhere or r.route == '' or r.doubt ~= '' then return false end
  local rest = {}
  for name in string.gmatch(r.route, '[^,]+') do rest[#rest + 1] = name end
  local place = next_place(c, rest, anyway)
  if not place then return false end
  local lane, former = table.remove(rest, place), r.lane
  if r.attempt == r.since then rest[#rest + 1] = former end
  acknowledge(c, r.entry)
  redis.call('ZREM', c.waiting, id)
  if redis.call('EXISTS', c.others[lane]) == 0 then make_lane(c.others[lane]) end
  local entry = redis.call('XADD', c.others[lane], '*', 'id', id, 'body', r.body, 'at', text(r.at),
    'again', '1', 'from', former, 'why', why)
  redis.call('HDEL', record_key(c, i), 'owner', 'mode', 'lease_until', 'first_send_at',
    'quarantine', 'sent', 'reason', 'due')
  move(c, i, r, 'queued', lane, 'entry', entry, 'route', table.concat(rest, ','), 'since', r.attempt)
  return true
end

-- ---- accept --------------------------------------------------------------------------------

local function differ(made, partitions)
  if made and made ~= partitions then
    return redis.error_reply('PARTITIONS made with ' .. made .. ', not ' .. partitions)
  end
  return nil
end

-- May topups go on here? Not with another number of partitions, and not before the ledger has
-- compared what this life of this server has with the books: it may lack what was paid since.
local function refusal(meta, partitions)
  local made, generation = unpack(redis.call('HMGET', meta, 'partitions', 'generation'))
  local refused = partitions and differ(made, partitions)
  if refused then return refused end
  if not generation or trusted[meta] ~= generation then
    return redis.error_reply('UNVERIFIED not compared with the books')
  end
  return nil
end

-- How many partitions there are, written in each: a process with another number would look for
-- customers' keys where they are not.
local function write_partitions(meta, partitions)
  redis.call('HSETNX', meta, 'partitions', partitions)
  redis.call('HSETNX', meta, 'format', VERSION)
end

-- prepare: make a lane's streams with all their groups.  KEYS common  ARGV partitions  reply OK
local function prepare(keys, args)
  local c = context(keys, 0)
  local refused = differ(redis.call('HGET', c.meta, 'partitions'), args[1])
  if refused then return refused end
  write_partitions(c.meta, args[1])
  make_streams(c)
  return redis.status_reply('OK')
end

-- Whose repeat this is, and whether it asks for the same; nothing where it is the first.
local function first(c, i, id, print, key, body)
  local taken = key ~= '' and redis.call('GET', key_record_key(c, i))
  if taken then
    local first_id, first_print = string.match(taken, '^(.*) (.*)$')
    assert(first_id, 'the key record cannot be read')
    return first_id, first_print == print
  end
  local first_body = redis.call('HGET', record_key(c, i), 'body')
  return first_body and id, first_body == body
end

-- Record and lane entry of a topup that has neither; return when it was accepted.
local function enter(c, i, id, print, key, body, deliver_before, route)
  local entry = redis.call('XADD', c.lane, '*', 'id', id, 'body', body)
  local at = string.match(entry, '^%d+')
  if route and route ~= '' then -- an older gateway gives none
    redis.call('HSET', record_key(c, i), 'route', string.match(route, '^[^,]+,?(.*)$'))
  end
  if key ~= '' then redis.call('SET', key_record_key(c, i), id .. ' ' .. print) end
  count(c, 'accepted', 1)
  move(c, i, { state = '' }, 'queued', c.provider, 'v', VERSION, 'body', body, 'at', at,
    'deliver_before', text(c.now + deliver_before), 'entry', entry, 'seq', 0)
  return at
end

-- accept: record and lane entry in one step.
-- ARGV partitions deliver_before_ms n x (id fingerprint key_hash|'' body route)
-- `route` is empty, or names all the lanes that may have it, in their order, this one first.
-- reply { accepted, id, accepted_at } | { replayed|mismatch, id, '' }
local function accept(keys, args)
  local c = context(keys, math.floor((#keys - COMMON_BEFORE_ACTS) / 2))
  local width = (#args - 2) / c.n
  local refused = refusal(c.meta, args[1])
  if refused then return refused end
  write_partitions(c.meta, args[1])
  make_streams(c)
  return each(c, function(i)
    local id, print, key, body, route = unpack(args, 3 + width * (i - 1), 2 + width * i)
    local first_id, same = first(c, i, id, print, key, body)
    if first_id then
      return repeated(c, { same and 'replayed' or 'mismatch', first_id, '' })
    end
    return { 'accepted', id, enter(c, i, id, print, key, body, args[2], route) }
  end)
end

-- ---- begin ---------------------------------------------------------------------------------

-- A beat from the future is old too: the clock has gone back since, and the living beat anew.
local function is_old(beat, now)
  return not beat or math.abs(now - tonumber(beat)) > SILENT_MS
end

local function is_silent(c, owner)
  local beat = redis.call('ZSCORE', c.alive, owner)
  return is_old(beat, c.now)
end

local function expire_if_due(c, i, id, r, window)
  if r.doubt ~= '' or c.now <= r.deliver_before then return false end
  settle(c, i, id, r, 'failed', 'expired', '', '', window)
  return true
end

-- What a topup in this doubt may do next at a provider of this kind; nil: nothing.
local function next_mode(c, r, kind, lease, dedupe_window)
  if r.doubt == '' then return 'send' end
  local inquire = c.now > r.quarantine_until and 'inquire_final' or 'inquire'
  if string.find(kind, 'dedupes', 1, true) then
    if c.now + lease < r.first_send_at + dedupe_window then return 'send' end
    return kind == 'dedupes+inquiry' and inquire or nil
  end
  return kind == 'inquiry' and inquire or nil
end

-- begin: the write-ahead of an attempt.
-- ARGV partitions owner neither|inquiry|dedupes|dedupes+inquiry lease_ms quarantine_ms
--      dedupe_window_ms window_ms n x (id entry nonce)
-- reply { send|inquire|inquire_final, lease_ms, attempt, sent } | { busy, lease_ms }
--     | { held, recheck_ms }; sent is the attempt of the last send: what a question is about
--     | { settled } | { forgotten } | { duplicate } | { moved } | { expired } | { unresolved }
--     | { lost } | { newer }
local function begin(keys, args)
  local c = context(keys, (#args - 7) / 3)
  local refused = refusal(c.meta, args[1])
  if refused then return refused end
  local owner, kind, window = args[2], args[3], args[7]
  local lease, quarantine, dedupe_window = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  redis.call('ZADD', c.alive, c.now, owner)

  -- A live attempt of somebody else is left alone; a dead one's send is in doubt.
  local function take_over(i, r)
    local silent = r.owner ~= owner and is_silent(c, r.owner)
    local harmless = r.mode ~= 'send' or kind ~= 'neither'
    if r.lease_until > c.now and not (silent and harmless) then return false end
    if r.mode == 'send' then suspect(c, i, r, r.lease_until, quarantine) end
    remember_silence(c, i, r)
    return true
  end

  return each(c, function(i)
    local id, entry, nonce = unpack(args, 8 + 3 * (i - 1), 10 + 3 * (i - 1))
    local r = read(c, i)
    if not r then
      acknowledge(c, entry)
      -- Nobody has read this entry for so long that the record's window may be over.
      if older(entry, text(c.now - tonumber(window)) .. '-0') then return { 'forgotten' } end
      copy_to_dead(c, id, 'lost', entry)
      return { 'lost' }
    end
    if r.v > VERSION then return { 'newer' } end
    if is_final(r.state) or r.state == 'unresolved' then
      acknowledge(c, entry)
      return { 'settled' }
    end
    if r.state == 'active' and r.nonce == nonce then
      return { r.mode, math.max(r.lease_until - c.now, 0), r.attempt, r.sent }
    end
    if entry ~= r.entry or r.elsewhere then
      acknowledge(c, entry)
      return { 'duplicate' }
    end
    if r.lease_until > c.now + lease then -- the clock has gone back
      r.lease_until = c.now + lease
      redis.call('HSET', record_key(c, i), 'lease_until', text(r.lease_until))
    end
    if r.state == 'active' and not take_over(i, r) then return { 'busy', r.lease_until - c.now } end
    if expire_if_due(c, i, id, r, window) then return { 'expired' } end
    local mode = next_mode(c, r, kind, lease, dedupe_window)
    if not mode then
      settle(c, i, id, r, 'unresolved', 'no_answer', '', '', window)
      return { 'unresolved' }
    end
    if not pass(c, id, lease, owner) then
      if move_on(c, i, id, r, 'held') then return { 'moved' } end
      return { 'held', HELD_RECHECK_MS }
    end
    local begun = { 'owner', owner, 'nonce', nonce, 'mode', mode, 'lease_until', text(c.now + lease),
      'attempt', r.attempt + 1 }
    if mode == 'send' then
      r.sent = r.attempt + 1
      begun[11], begun[12], begun[13], begun[14] = 'quarantine', text(quarantine), 'sent', r.sent
      if r.first_send_at == 0 then begun[15], begun[16] = 'first_send_at', text(c.now) end
    end
    move(c, i, r, 'active', c.provider, unpack(begun))
    return { mode, lease, r.attempt + 1, r.sent }
  end)
end

-- ---- finish --------------------------------------------------------------------------------

-- Where the answer of an attempt leads: a state to settle in, or a reply that leaves all as it is.
local function decide(r, nonce, to, covers)
  if is_final(r.state) then
    if to == 'succeeded' and (r.state == 'failed' or r.elsewhere) then return nil, 'contradiction' end
    return nil, r.nonce == nonce and 'ok' or 'settled'
  end
  if to == 'succeeded' then return to end -- from anyone, at once: money did leave
  local no_other_send = r.mode ~= 'send' or r.nonce == nonce
  if to == 'failed' and r.doubt == nonce and no_other_send then -- it speaks, late
    if r.proposed ~= '' then return nil, 'disputed' end
    return to
  end
  if r.state == 'unresolved' and r.nonce == nonce then return nil, 'ok' end
  if r.state ~= 'active' or r.nonce ~= nonce then return nil, 'fenced' end
  if to == 'failed' and r.mode == 'send' and r.doubt ~= '' and not covers then return 'unresolved' end
  if to == 'failed' and r.mode == 'inquire' then return nil, 'not_yet' end
  return to
end

-- finish: the end of an attempt that settles its topup.
-- ARGV window_ms refusal_covers(1|0) hold
--      n x (id nonce succeeded|failed|unresolved reason provider_reference evidence)
-- reply { ok|settled|fenced|not_yet|contradiction|disputed|lost|newer, state }
local function finish(keys, args)
  local c = context(keys, (#args - 3) / 6)
  local window, covers = args[1], args[2] == '1'
  return each(c, function(i)
    local id, nonce, to, reason, reference, evidence = unpack(args, 4 + 6 * (i - 1), 9 + 6 * (i - 1))
    local r = read(c, i)
    if not r then
      copy_to_dead(c, id, 'lost', evidence)
      return { 'lost', '' }
    end
    if r.v > VERSION then return { 'newer', '' } end
    local own = r.nonce == nonce and r.mode
    local settled, reply = decide(r, nonce, to, covers)
    -- A yes from a lane that has given it up with a no: it counts, and people must look.
    local against_own_no = settled == 'succeeded' and r.elsewhere and r.lane ~= AUTO
    if reply == 'contradiction' or against_own_no then copy_to_dead(c, id, 'contradiction', evidence) end
    if reply == 'disputed' then dispute(c, i, id, r, evidence) end
    if not settled then return repeated(c, { reply, r.state }) end
    if own == 'send' and to == 'unresolved' then suspect(c, i, r, c.now, r.quarantine) end
    settle(c, i, id, r, settled, reason, reference, evidence, window)
    if own and own ~= '' then
      local heard = to ~= 'unresolved' or reason == 'never_arrived'
      tell_lane(c, id, r.owner, heard and 'fine' or 'silent', reason, args[3])
    end
    return { 'ok', settled }
  end)
end

-- ---- park and wake -------------------------------------------------------------------------

-- park: the end of an attempt that will be tried again, or asked about, later.
-- ARGV quarantine_ms hold n x (id nonce delay_ms no|not_sent|unasked|unknown|not_found|hold|
--      no_proof reason said lane_reason); an older dispatcher gives neither of the last two
-- reply { ok|fenced|lost|newer, due_ms }
local function park(keys, args)
  local c = context(keys, math.floor((#keys - COMMON_BEFORE_ACTS) / 2))
  local quarantine, width = tonumber(args[1]), (#args - 2) / c.n
  return each(c, function(i)
    local id, nonce, delay, why, reason, said, lane_reason =
      unpack(args, 3 + width * (i - 1), 2 + width * i)
    local r = read(c, i)
    if not r then
      copy_to_dead(c, id, 'lost', reason)
      return { 'lost', 0 }
    end
    if r.v > VERSION then return { 'newer', 0 } end
    if r.state ~= 'active' or r.nonce ~= nonce then
      return repeated(c, { r.state == 'waiting' and r.nonce == nonce and 'ok' or 'fenced', 0 })
    end
    local due = c.now + tonumber(delay)
    if r.mode == 'send' and not DEFINITE_NO[why] then
      suspect(c, i, r, c.now, quarantine)
    elseif why == 'not_found' then
      if r.mode == 'inquire_final' then
        redis.call('HDEL', record_key(c, i), 'doubt', 'quarantine_until')
      else
        due = math.max(due, r.quarantine_until)
      end
    end
    acknowledge(c, r.entry)
    redis.call('HDEL', record_key(c, i), 'entry', 'owner', 'mode', 'lease_until')
    remember(c, i, r, said or '')
    redis.call('ZADD', c.waiting, due, id)
    move(c, i, r, 'waiting', c.provider, 'reason', reason, 'due', text(due))
    local asked = why == 'not_found' and r.mode ~= 'send'
    tell_lane(c, id, r.owner, asked and 'fine' or SAYS[why] or 'silent', lane_reason or reason, args[2])
    return { 'ok', due - c.now }
  end)
end

-- hand_on: the end of an attempt whose topup another lane may have, where there is one; else
-- nothing is done, and `finish` or `park` ends it. What is busy or not reached is tried for
-- `tries` times before.
-- ARGV hold tries n x (id nonce refused|no|not_sent|hold reason said)
--      `reason` is of the lane, if this holds it
-- reply { moved, lane } | { kept|newer, '' }
local function hand_on(keys, args)
  local c = context(keys, (#args - 2) / 5)
  local tries = tonumber(args[2])
  return each(c, function(i)
    local id, nonce, why, reason, said = unpack(args, 3 + 5 * (i - 1), 7 + 5 * (i - 1))
    local r = read(c, i)
    if not r then return { 'kept', '' } end
    if r.v > VERSION then return { 'newer', '' } end
    if r.elsewhere and r.nonce == nonce and r.lane ~= AUTO and not is_final(r.state) then
      return repeated(c, { 'moved', r.lane })
    end
    local own = r.state == 'active' and r.nonce == nonce and r.mode == 'send'
    local enough = why == 'refused' or why == 'hold' or r.attempt - r.since >= tries
    if not own or not enough or not move_on(c, i, id, r, why, why == 'refused') then
      return { 'kept', '' }
    end
    remember(c, i, r, said)
    tell_lane(c, id, r.owner, SAYS[why], reason, args[1])
    return { 'moved', r.lane }
  end)
end

-- wake: what is due goes back on its lane; behind a held lane it expires, or goes on to another.
-- ARGV window_ms n x id     reply { woken|moved|held|expired|no }
local function wake(keys, args)
  local c = context(keys, #args - 1)
  local refused = refusal(c.meta)
  if refused then return refused end
  local lane = own_lane(c)
  local open, probes = lane.state == 'open', passable(lane, c.now) and 1 or 0
  -- However many wait behind held lanes, looking at them takes no more time than this.
  local recheck = math.max(HELD_RECHECK_MS, redis.call('ZCARD', c.waiting) / HELD_RECHECKS_PER_MS)
  return each(c, function(i)
    local id, r = args[1 + i], read(c, i)
    local due = redis.call('ZSCORE', c.waiting, id)
    local waits = r and r.v <= VERSION and r.state == 'waiting' and not r.elsewhere
    if not waits or not due or tonumber(due) > c.now then
      return { 'no' }
    end
    if not open and probes == 0 then
      if expire_if_due(c, i, id, r, args[1]) then return { 'expired' } end
      if move_on(c, i, id, r, 'held') then return { 'moved' } end
      redis.call('ZADD', c.waiting, c.now + recheck, id)
      return { 'held' }
    end
    probes = probes - 1
    redis.call('ZREM', c.waiting, id)
    local entry = redis.call('XADD', c.lane, '*', 'id', id, 'body', r.body, 'at', text(r.at),
      'again', '1')
    redis.call('HDEL', record_key(c, i), 'due')
    move(c, i, r, 'queued', c.provider, 'entry', entry)
    return { 'woken' }
  end)
end

-- expire: begin's line about the deadline, for what a held lane keeps from being read; and what may
-- have another lane goes on to it.
-- ARGV window_ms n x id     reply { expired|moved|open|kept|closed }
-- kept: what is in doubt never expires; closed: there is nothing to be done here any more
local function expire(keys, args)
  local c = context(keys, #args - 1)
  local refused = refusal(c.meta)
  if refused then return refused end
  return each(c, function(i)
    local r = read(c, i)
    if not r or r.v > VERSION or r.elsewhere or is_final(r.state) or r.state == 'unresolved' then
      return { 'closed' }
    end
    if r.state ~= 'active' and expire_if_due(c, i, args[1 + i], r, args[1]) then return { 'expired' } end
    local stuck = r.state == 'queued' and not passable(own_lane(c), c.now)
    if stuck and move_on(c, i, args[1 + i], r, 'held') then return { 'moved' } end
    return { r.doubt == '' and 'open' or 'kept' }
  end)
end

-- ---- people --------------------------------------------------------------------------------

-- propose: people say that it was paid, or no longer. While anybody says so, no machine's no
-- settles it.
-- KEYS meta n records  ARGV n x (proposal stands|fell)     reply n x its state | lost | newer
local PROPOSED_MAX = 8
local function propose(keys, args)
  local refused = refusal(keys[1])
  if refused then return refused end
  local replies = {}
  for i = 2, #keys do
    local proposal, what = args[2 * i - 3], args[2 * i - 2]
    local v, state, proposed = unpack(redis.call('HMGET', keys[i], 'v', 'state', 'proposed'))
    if not v or tonumber(v) > VERSION then
      replies[i - 1] = v and 'newer' or 'lost'
    else
      local standing = {}
      for one in string.gmatch(proposed or '', '%S+') do
        if one ~= proposal then standing[#standing + 1] = one end
      end
      -- Beyond the bound one more changes nothing: those stand, and are only left by who has died.
      if what == 'stands' and #standing < PROPOSED_MAX then standing[#standing + 1] = proposal end
      if state == 'unresolved' and #standing > 0 then
        redis.call('HSET', keys[i], 'proposed', table.concat(standing, ' '))
      elseif proposed then
        redis.call('HDEL', keys[i], 'proposed')
      end
      replies[i - 1] = state
    end
  end
  return replies
end

-- resolve: unresolved to its end, on evidence.
-- ARGV window_ms id succeeded|failed asked_at_ms provider_reference evidence act_id who why
-- The lane among KEYS is that of who was paid, where the record does not know it.
--      proposal|''; by a machine, without one, `failed` needs that nobody says that it was paid;
--      older callers do not say who they are
-- reply { ok, state } | { too_soon, quarantine_until } | { disputed } | { <state> }
local function resolve(keys, args)
  local c = context(keys, 1)
  local refused = refusal(c.meta)
  if refused then return refused end
  local window, id, to, asked_at, reference, evidence, act, who, why, proposal = unpack(args)
  return each(c, function(i)
    local r = read(c, i)
    if not r then return { 'lost' } end
    if r.v > VERSION then return { 'newer' } end
    if r.state ~= 'unresolved' then return repeated(c, { r.state }) end
    if to == 'failed' and tonumber(asked_at) <= r.quarantine_until then
      return { 'too_soon', text(r.quarantine_until) }
    end
    if to == 'failed' and (proposal or '') == '' and r.proposed ~= '' then
      dispute(c, i, id, r, evidence)
      return repeated(c, { 'disputed' })
    end
    local before = { state = r.state, reason = r.reason, quarantine_until = r.quarantine_until }
    local by_machine = proposal == ''
    settle(c, i, id, r, to, by_machine and 'refused' or 'resolved', reference, evidence, window)
    tell(c.acts, act, c.now, who, 'topup.resolve', id, why, cjson.encode(before),
      cjson.encode({ state = to, ref = reference, provider = r.routed and speaking(c, r) or nil }))
    return { 'ok', to }
  end)[1]
end

-- hold: nothing of the lane starts any more.
-- KEYS lanes acts  ARGV provider reason by until_ms|'' replace(1|0) act_id
-- without replace, as with 1; older callers give neither acts nor act_id
-- reply { held|taken, before, after }: the lane as JSON; taken: somebody else's hold, and it stays
local function hold(keys, args)
  local provider, reason, by, held_until, replace, act = unpack(args)
  local lane, now = lane_of(keys[1], provider), now_ms()
  local before = cjson.encode(lane)
  local others = lane.state == 'held' and (lane.holds or 0) == 0 and lane.by ~= by
  if replace == '0' and others and not passable(lane, now) then return { 'taken', before, before } end
  local after = hold_lane(keys[1], provider, lane, reason, by, now, tonumber(held_until), 0)
  after = cjson.encode(after)
  tell(keys[2], act, now, by, 'lane.hold', provider, reason, before, after)
  return { 'held', before, after }
end

-- release: the lane is open again.
-- KEYS lanes acts  ARGV provider by seen_since_ms|'' act_id why
-- with seen_since_ms only the hold that began then; older callers give neither acts nor act_id
-- reply { released|open|changed, before, after }
local function release(keys, args)
  local provider, by, seen, act, why = unpack(args)
  local lane, now = lane_of(keys[1], provider), now_ms()
  local before = cjson.encode(lane)
  if lane.state == 'open' then return { 'open', before, before } end
  if (seen or '') ~= '' and seen ~= text(lane.since or 0) then return { 'changed', before, before } end
  local after = cjson.encode(open_lane(keys[1], provider, now, by))
  tell(keys[2], act, now, by, 'lane.release', provider, why, before, after)
  return { 'released', before, after }
end

-- bury: an entry that code can't handle; its record never stays open.
-- ARGV window_ms n x (id entry reason payload)
-- reply { failed|unresolved|settled|duplicate|lost|newer }
local function bury(keys, args)
  local c = context(keys, (#args - 1) / 4)
  local refused = refusal(c.meta)
  if refused then return refused end
  return each(c, function(i)
    local id, entry, reason, payload = unpack(args, 2 + 4 * (i - 1), 5 + 4 * (i - 1))
    local fine, r = pcall(read, c, i)
    if not fine then r = nil end -- the record of another lane: this entry does not carry it
    if r and r.v > VERSION then return { 'newer' } end
    acknowledge(c, entry)
    if r and (is_final(r.state) or r.state == 'unresolved') then return { 'settled' } end
    copy_to_dead(c, id, reason, payload, fine and not r and 'no' or nil)
    if not r then return { 'lost' } end
    if entry ~= r.entry or r.elsewhere then return { 'duplicate' } end
    local doubtful = r.doubt ~= '' or (r.state == 'active' and r.mode == 'send')
    if r.state == 'active' and r.mode == 'send' then suspect(c, i, r, r.lease_until, r.quarantine) end
    if r.state == 'active' then remember_silence(c, i, r) end
    settle(c, i, id, r, doubtful and 'unresolved' or 'failed', 'unreadable', '', '', args[1])
    return { doubtful and 'unresolved' or 'failed' }
  end)
end

-- A dead letter that nobody has dealt with, or why there is none: none, or done and by whom.
local function letter_of(dead, done, entry)
  local mark = redis.call('HGET', done, entry)
  if mark then return nil, { 'done', mark } end
  local found = redis.call('XRANGE', dead, entry, entry)[1]
  if not found then return nil, { 'none', '' } end
  return as_map(found[2])
end

local function mark_done(done, entry, what, by, why, now)
  redis.call('HSET', done, entry, cjson.encode({ what = what, by = by, why = why, at = now }))
end

local function tell_letter(acts, act_id, now, who, act, target, why, name, letter)
  tell(acts, act_id or '', now, who, act, target or name, why,
    cjson.encode({ letter = name, lane = letter.lane, state = 'waiting' }),
    cjson.encode({ letter = name, lane = letter.lane, state = act == 'dead.discard' and 'discarded' or 'redriven' }))
end

-- discard: people have dealt with a dead letter.
-- KEYS dead done acts  ARGV entry by why act_id target name; older callers give neither acts nor
--      what is told of the act
-- reply { discarded|done|none, who did it before as JSON }
local function discard(keys, args)
  local entry, by, why, act, target, name = unpack(args)
  local letter, reply = letter_of(keys[1], keys[2], entry)
  if not letter then return reply end
  local now = now_ms()
  mark_done(keys[2], entry, 'discarded', by, why, now)
  tell_letter(keys[3], act, now, by, 'dead.discard', target, why, name, letter)
  return { 'discarded', '' }
end

-- redrive: a dead letter's topup, for which nothing was ever begun, is accepted.
-- KEYS common record key_record done
-- ARGV partitions deliver_before_ms entry id fingerprint key_hash|'' body by why
--      act_id name; older callers give neither of the last two
-- reply { redriven|done|none|maybe_sent|exists|key_taken, detail }
local function redrive(keys, args)
  local done = table.remove(keys)
  local c = context(keys, 1)
  local refused = refusal(c.meta, args[1])
  if refused then return refused end
  local entry, id, print, key, body, by, why, act, name = unpack(args, 3)
  local letter, reply = letter_of(c.dead, done, entry)
  if not letter then return reply end
  if letter.sent ~= 'no' or letter.id ~= id then return { 'maybe_sent', '' } end
  if redis.call('EXISTS', record_key(c, 1)) == 1 then
    return { 'exists', redis.call('HGET', record_key(c, 1), 'state') or '' }
  end
  local taken = key ~= '' and redis.call('GET', key_record_key(c, 1))
  if taken then return { 'key_taken', string.match(taken, '^%S*') } end
  make_streams(c)
  local routed = cjson.decode(body)[PROVIDER_PLACE] == AUTO -- to this lane alone, from now on
  enter(c, 1, id, print, key, body, tonumber(args[2]), routed and c.provider or '')
  write_counters(c)
  mark_done(done, entry, 'redriven', by, why, c.now)
  tell_letter(c.acts, act, c.now, by, 'dead.redrive', id, why, name or entry, letter)
  return { 'redriven', '' }
end

-- clear: drop the dead letters that people have dealt with and that are old; no other ever goes.
-- KEYS dead done  ARGV retention_ms     reply how many went
local function clear(keys, args)
  local floor, gone = text(now_ms() - tonumber(args[1])) .. '-0', 0
  for _, entry in ipairs(redis.call('HKEYS', keys[2])) do
    if older(entry, floor) then
      gone = gone + redis.call('XDEL', keys[1], entry)
      redis.call('HDEL', keys[2], entry)
    end
  end
  return gone
end

-- ---- upkeep --------------------------------------------------------------------------------

-- claim: take the entries of the silent, and forget those of them who have none.
-- KEYS stream alive  ARGV group me n     reply the entries, as XCLAIM gives them
local function claim(keys, args)
  local stream, alive = keys[1], keys[2]
  local group, me, left = args[1], args[2], tonumber(args[3])
  local now, taken = now_ms(), {}
  redis.call('ZREMRANGEBYSCORE', alive, '-inf', now - ALIVE_FORGET_MS)
  for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local consumer = as_map(flat)
    local beat = redis.call('ZSCORE', alive, consumer.name)
    if consumer.name ~= me and is_old(beat, now) then
      if consumer.pending == 0 then
        redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer.name)
      elseif left > 0 then
        local ids = {}
        for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', left, consumer.name)) do
          ids[#ids + 1] = row[1]
        end
        left = left - #ids
        for _, entry in ipairs(redis.call('XCLAIM', stream, group, me, 0, unpack(ids))) do
          taken[#taken + 1] = entry
        end
      end
    end
  end
  return taken
end

-- trim: drop what is older than the retention and acknowledged by every group.
-- KEYS stream  ARGV retention_ms n x group     reply how many entries went; -1: a group is missing
local function trim(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  local groups = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', keys[1])) do
    local group = as_map(flat)
    groups[group.name] = group
  end
  for at = 2, #args do
    if not groups[args[at]] then return -1 end
  end
  local floor = text(now_ms() - tonumber(args[1])) .. '-0'
  for name, group in pairs(groups) do
    local oldest = redis.call('XPENDING', keys[1], name)[2] or group['last-delivered-id']
    if older(oldest, floor) then floor = oldest end
  end
  return redis.call('XTRIM', keys[1], 'MINID', floor)
end

-- look: records as they are.  KEYS meta n records     reply n x flat field list
local function look(keys)
  local refused = refusal(keys[1])
  if refused then return refused end
  local records = {}
  for i = 2, #keys do records[i - 1] = redis.call('HGETALL', keys[i]) end
  return records
end

-- ask: take those whose turn it is to be asked about once more; each comes again after as long as
-- it has been in limbo, so that every pause is about twice the one before. It settles nothing.
-- KEYS meta limbo n records  ARGV n x id     reply n x ask|later|gone
local ASK_MS_MIN, ASK_MS_MAX = 60000, 21600000
local function ask(keys, args)
  local refused = refusal(keys[1])
  if refused then return refused end
  local now, replies = now_ms(), {}
  for i, id in ipairs(args) do
    local due = redis.call('ZSCORE', keys[2], id)
    local state, since = unpack(redis.call('HMGET', keys[2 + i], 'state', 'end'))
    if not due or tonumber(due) > now then
      replies[i] = 'later'
    elseif state ~= 'unresolved' then
      redis.call('ZREM', keys[2], id)
      replies[i] = 'gone'
    else
      local pause = math.min(math.max(now - (tonumber(since) or now), ASK_MS_MIN), ASK_MS_MAX)
      redis.call('ZADD', keys[2], now + pause, id)
      replies[i] = 'ask'
    end
  end
  return replies
end

-- ---- loss ----------------------------------------------------------------------------------

local function last_id(stream)
  if redis.call('EXISTS', stream) == 0 then return '0-0' end
  return as_map(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
end

-- found: give a partition that has none a generation.  KEYS meta  ARGV generation  reply its own
local function found(keys, args)
  redis.call('HSETNX', keys[1], 'generation', args[1])
  return redis.call('HGET', keys[1], 'generation')
end

-- vouch: let topups go on if this partition has all that the books know of.
-- KEYS meta n streams  ARGV generation n x entry_id     reply { verified } | { lost, key, what it has }
local function vouch(keys, args)
  trusted[keys[1]] = nil
  local generation = redis.call('HGET', keys[1], 'generation')
  if generation ~= args[1] then return { 'lost', keys[1], generation or 'nothing' } end
  for i = 2, #keys do
    local last = last_id(keys[i])
    if older(last, args[i]) then return { 'lost', keys[i], last } end
  end
  trusted[keys[1]] = generation
  return { 'verified' }
end

-- verified: does the ledger vouch for this partition?  KEYS meta     reply 1|0
local function verified(keys)
  local generation = redis.call('HGET', keys[1], 'generation')
  return generation and trusted[keys[1]] == generation and 1 or 0
end

-- renew: a new generation for a partition that was reconciled; no entry id is given a second time.
-- KEYS meta n streams  ARGV generation partitions n x entry_id
local function renew(keys, args)
  for i = 2, #keys do
    if older(last_id(keys[i]), args[i + 1]) then redis.call('XSETID', keys[i], args[i + 1]) end
  end
  redis.call('HSET', keys[1], 'generation', args[1], 'partitions', args[2], 'format', VERSION)
  return redis.status_reply('OK')
end

-- May a record in this state be brought to that one? What is booked is; else a doubt may only be
-- settled by a positive.
local function leads_on(from, to, booked)
  if is_final(from) then return false end
  return from ~= 'unresolved' or to == 'succeeded' or (booked and to == 'failed')
end

-- restore: bring a topup whose record is lost, or older, to where the books have it; or, with seq 0,
-- to an end that is not in the books, which is published.
-- ARGV quarantine_ms n x (id fingerprint key_hash|'' body accepted_at seq state reason
--      provider_reference evidence settled_at window_ms)
-- What may have had several lanes and is in doubt by this is of none: each of its route is asked.
-- reply { restored|kept|differs|newer, state }
local function restore(keys, args)
  local c, quarantine = context(keys, (#args - 1) / 12), tonumber(args[1])
  if c.provider ~= AUTO then make_streams(c) end
  return each(c, function(i)
    local id, print, key, body, at, seq, to, reason, reference, evidence, settled_at, window =
      unpack(args, 2 + 12 * (i - 1), 13 + 12 * (i - 1))
    local r, booked = read(c, i), tonumber(seq) > 0
    if r and r.v > VERSION then return { 'newer', '' } end
    if r and not leads_on(r.state, to, booked) then
      return { booked and is_final(to) and r.state ~= to and 'differs' or 'kept', r.state }
    end
    local found = r ~= nil
    if not found then
      r = { state = '', seq = 0, body = body, at = tonumber(at), entry = '', quarantine_until = 0,
        lane = c.provider, routed = cjson.decode(body)[PROVIDER_PLACE] == AUTO }
      redis.call('HSET', record_key(c, i), 'v', VERSION, 'lane', c.provider, 'body', body,
        'at', at, 'seq', 0)
      count(c, 'accepted', 1)
    end
    -- Whoever says no cannot know what else was sent, nor by which lane.
    if to == 'failed' and not booked and (found or r.routed) then to = 'unresolved' end
    r.anybodys = r.routed and to == 'unresolved' and not booked
    if r.routed then redis.call('HSET', record_key(c, i), 'route', '') end
    if key ~= '' and not redis.call('SET', key_record_key(c, i), id .. ' ' .. print, 'NX')
        and redis.call('GET', key_record_key(c, i)) ~= id .. ' ' .. print then
      c.keys[c.common + c.n + i] = record_key(c, i) -- the key is another topup's by now: let it be
    end
    if to == 'unresolved' then
      redis.call('HSET', record_key(c, i), 'doubt', 'many', 'quarantine_until',
        text(math.max(r.quarantine_until, c.now + quarantine)))
    end
    if booked then
      close(c, i, id, r, seq, to, reason, reference, window, settled_at)
    else
      settle(c, i, id, r, to, reason, reference, evidence, window)
    end
    return { 'restored', to }
  end)
end

local function register(name, callback, flags)
  redis.register_function({ function_name = 'topups1_' .. name, callback = callback, flags = flags })
end

-- An outcome must get in, and memory must get free, also when memory is full.
register('prepare', prepare, {})
register('accept', accept, {})
register('begin', begin, {})
register('finish', finish, { 'allow-oom' })
register('hand_on', hand_on, { 'allow-oom' })
register('park', park, { 'allow-oom' })
register('wake', wake, {})
register('expire', expire, { 'allow-oom' })
register('propose', propose, { 'allow-oom' })
register('resolve', resolve, { 'allow-oom' })
register('hold', hold, { 'allow-oom' })
register('release', release, { 'allow-oom' })
register('bury', bury, { 'allow-oom' })
register('discard', discard, { 'allow-oom' })
register('redrive', redrive, {})
register('clear', clear, { 'allow-oom' })
register('claim', claim, {})
register('trim', trim, { 'allow-oom' })
register('look', look, { 'no-writes' })
register('ask', ask, { 'allow-oom' })
register('found', found, { 'allow-oom' })
register('vouch', vouch, { 'allow-oom' })
register('verified', verified, { 'no-writes' })
register('renew', renew, { 'allow-oom' })
register('restore', restore, { 'allow-oom' })
