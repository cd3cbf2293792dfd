"""L2: what stands in Redis under `cache:<key>`, and the scripts that change it. One key, one record, one atom.

    V <fresh until, ms: 8 bytes> <schema: 4 bytes> <msgpack>     a value
    N <fresh until, ms: 8 bytes>                                 a cached absence
    F <generation: 16 bytes> <lease until, ms: 8 bytes> <floors: 2-byte length, msgpack> <stale V record or nothing>
                                                                 somebody is loading
    I <generation: 16 bytes> <floors: 2-byte length, msgpack>    invalidated, not loaded since

The generation is random and new with every load and every invalidation. A loader's value is stored only where its
own generation still stands: an invalidation, another loader after the lease, a lost or evicted record all refuse
it. A counter could not do that: an evicted counter begins again at 0, and an old loader would match.
The schema is a digest of what the value's type looks like in the version of the app that wrote it. To another version
the value is none: both go on under one key, whose invalidations reach both, and each writes over what it cannot read.
Times are Redis's own (TIME), so pods' clocks do not matter among writers.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any, NewType

import msgspec

from app.redis.clients import Script

PREFIX = "cache:"
GENERATION_BYTES = 16
LEASE_SECONDS = 5.0
"""A loader's right to a key. If its process dies, the next reader of any process takes over after this time."""
CHANNEL = "cache-invalidations:"
"""Followed by the id of the cluster's node, as each node tells its own subscribers (records.py's scripts)."""

SCHEMA_BYTES = 4
VALUE_AT = 9 + SCHEMA_BYTES

Schema = NewType("Schema", bytes)

NO_SCHEMA = Schema(bytes(SCHEMA_BYTES))
"""A schema that no record has: who claims with it claims a fresh value too."""


class Unreadable(ValueError):
    """What stands in L2 cannot be read: a miss."""


class OtherVersion(Unreadable):
    """It was written by another version of the app."""


Floors = Mapping[int, tuple[int, int]]
"""By shard: the epoch and LSN that a read must have reached to have seen a write."""

_floors_decoder = msgspec.msgpack.Decoder(dict[int, tuple[int, int]])
_encoder = msgspec.msgpack.Encoder()


def new_generation() -> bytes:
    """A generation that no record ever had."""
    return secrets.token_bytes(GENERATION_BYTES)


def encode_floors(floors: Floors | None) -> bytes:
    """Floors as msgpack; nothing for none."""
    return _encoder.encode(dict(floors)) if floors else b""


def decode_floors(raw: bytes) -> dict[int, tuple[int, int]]:
    """The inverse of `encode_floors`. Raises Unreadable."""
    try:
        return _floors_decoder.decode(raw) if raw else {}
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None


def schema_of(type: Any) -> Schema:
    """A digest of what msgspec says that `type` looks like."""
    described = msgspec.json.encode(msgspec.json.schema_components([type]), order="sorted")
    return Schema(hashlib.sha256(described).digest()[:SCHEMA_BYTES])


def head(kind: bytes, schema: Schema) -> tuple[bytes, bytes]:
    """What stands before a record's lifetime, and behind it before the payload."""
    return kind, schema if kind == b"V" else b""


def payload_of(record: bytes) -> bytes:
    """The msgpack of a value record; b"" of an absence."""
    return record[VALUE_AT:] if record[:1] == b"V" else b""


def fresh_payload(record: bytes | None, schema: Schema) -> bytes | None:
    """The msgpack of a fresh value record, b"" of a fresh absence, None where neither is there. Raises OtherVersion."""
    if record is None or int.from_bytes(record[1:9], "big") <= time.time() * 1000:
        return None
    if record[:1] == b"V":
        if record[9:VALUE_AT] != schema:
            raise OtherVersion("it was written by another version of the app")
        return record[VALUE_AT:]
    return b"" if record[:1] == b"N" else None


def stale_payload(record: bytes, schema: Schema) -> bytes:
    """The msgpack of a value record of this schema, fresh or not; b"" where there is none."""
    return record[VALUE_AT:] if record[:1] == b"V" and record[9:VALUE_AT] == schema else b""


_LUA = """
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function u64(n) return struct.pack('>I4I4', math.floor(n / 4294967296), n % 4294967296) end
local function read_u64(s, at)
  local high, low = struct.unpack('>I4I4', s, at)
  return high * 4294967296 + low
end
local function node()
  local ok, id = pcall(redis.call, 'CLUSTER', 'MYID')
  if ok and type(id) == 'string' then return id end
  return 'single'
end
local function tell(message) return redis.call('PUBLISH', 'cache-invalidations:' .. node(), message) end
"""

CLAIM = Script(
    _LUA
    + """
-- KEYS key; ARGV generation, lease ms, keep ms, schema.
-- -> {'value', record} | {'claimed', floors, stale record} | {'busy', ms until the lease ends}
local record, now = redis.call('GET', KEYS[1]), now_ms()
local floors, stale = '', ''
if record then
  local kind = string.sub(record, 1, 1)
  if kind == 'V' or kind == 'N' then
    local ours = kind == 'N' or string.sub(record, 10, 13) == ARGV[4]
    if ours and read_u64(record, 2) > now then return {'value', record} end
    if kind == 'V' then stale = record end
  elseif kind == 'F' then
    local left = read_u64(record, 18) - now
    if left > 0 then return {'busy', left} end
    local length = struct.unpack('>I2', record, 26)
    floors, stale = string.sub(record, 28, 27 + length), string.sub(record, 28 + length)
  elseif kind == 'I' then
    local length = struct.unpack('>I2', record, 18)
    floors = string.sub(record, 20, 19 + length)
  end
end
local fill = 'F' .. ARGV[1] .. u64(now + ARGV[2]) .. struct.pack('>I2', #floors) .. floors .. stale
redis.call('SET', KEYS[1], fill, 'PX', ARGV[3])
return {'claimed', floors, stale}
"""
)

STORE = Script(
    _LUA
    + """
-- KEYS key; ARGV generation, kind, schema, payload, fresh ms, keep ms -> 1 stored, 0 the generation has changed
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 1, 17) ~= 'F' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. u64(now_ms() + ARGV[5]) .. ARGV[3] .. ARGV[4], 'PX', ARGV[6])
return 1
"""
)

RELEASE = Script(
    _LUA
    + """
-- KEYS key; ARGV generation: the load failed; what was there before is there again, for the next to try
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 1, 17) ~= 'F' .. ARGV[1] then return 0 end
local length = struct.unpack('>I2', record, 26)
local floors, stale = string.sub(record, 28, 27 + length), string.sub(record, 28 + length)
if stale ~= '' then redis.call('SET', KEYS[1], stale, 'KEEPTTL')
elseif length > 0 then
  redis.call('SET', KEYS[1], 'I' .. ARGV[1] .. struct.pack('>I2', length) .. floors, 'KEEPTTL')
else redis.call('DEL', KEYS[1]) end
return 1
"""
)

INVALIDATE = Script(
    _LUA
    + """
-- KEYS key; ARGV generation, floors, keep ms, message -> {subscribers told, the node's id}
redis.call('SET', KEYS[1], 'I' .. ARGV[1] .. struct.pack('>I2', #ARGV[2]) .. ARGV[2], 'PX', ARGV[3])
return {tell(ARGV[4]), node()}
"""
)
