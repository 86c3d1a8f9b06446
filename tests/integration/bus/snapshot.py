"""All of Redis as plain values, to be compared; and time that passes without anybody waiting."""

from typing import Any, Final

from shared.runtime.redis import Client

Snapshot = dict[str, Any]

_TIME_PASSES: Final = """
local ms = tonumber(ARGV[1])
local function back(text) return string.format('%.0f', tonumber(text) - ms) end
for _, key in ipairs(redis.call('KEYS', 'topup:*')) do
  local kind = redis.call('TYPE', key).ok
  if string.find(key, ':record:', 1, true) and kind == 'hash' then
    for _, field in ipairs({ 'at', 'deliver_before', 'lease_until', 'first_send_at',
        'quarantine_until', 'due', 'end' }) do
      local value = redis.call('HGET', key, field)
      if value and value ~= '0' then redis.call('HSET', key, field, back(value)) end
    end
  elseif string.find(key, ':waiting$') or string.find(key, ':alive$')
      or string.find(key, ':limbo:', 1, true) then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -ms, member)
    end
  elseif string.find(key, ':lanes$') then
    local lanes = redis.call('HGETALL', key)
    for at = 1, #lanes, 2 do
      local lane = cjson.decode(lanes[at + 1])
      for _, field in ipairs({ 'since', 'until', 'probe_until' }) do
        if lane[field] then lane[field] = lane[field] - ms end
      end
      redis.call('HSET', key, lanes[at], cjson.encode(lane))
    end
  end
end
"""


async def pass_time(client: Client, ms: int) -> None:
    """Move every stored deadline and beat back: for the functions, so much time has passed."""
    await client.eval(_TIME_PASSES, 0, ms)


async def snapshot(client: Client) -> Snapshot:
    """Return everything that is stored, with expiry times, but for who beat and who repeated."""
    found: Snapshot = {}
    for key in sorted(await client.keys("*")):
        name = key.decode()
        if not name.endswith(":alive"):
            found[name] = (await client.pexpiretime(key), await _value(client, name))
    return found


async def _value(client: Client, name: str) -> Any:
    match (await client.type(name)).decode():
        case "hash":
            fields = await client.hgetall(name)
            fields.pop(b"replayed", None)
            return fields
        case "zset":
            return await client.zrange(name, 0, -1, withscores=True)
        case "stream":
            groups = await client.xinfo_groups(name)
            pending = [
                await client.xpending_range(name, group["name"], "-", "+", 1_000)
                for group in groups
            ]
            for row in [row for rows in pending for row in rows]:
                row.pop("time_since_delivered")
            return await client.xrange(name), groups, pending
        case _:
            return await client.dump(name)
