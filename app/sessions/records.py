"""A session's record in Redis, under `session:<region>:<digest of its id>`, and the scripts that change it.

What the cookie carries stands nowhere in Redis: who reads keys (SCAN, a slow log, a snapshot) cannot log in with them.

    L <version: 8 bytes> <envelope>                                            lives here
    M <version: 8 bytes> <region it moved to> <region it was in> <the L record it was there>    moved
                                                                               (regions: length, 1 byte, and text)
    G <version: 8 bytes>                                                       gone: logged out or revoked

Versions only grow, over all regions. Each change is one script on the server that owns the record, so of two who
change it one wins. An M keeps what was moved until the session's own end: a region that took it and died before it
stored it has lost nothing, as the next reader finishes the move. A G stands as long as the session could have lived.
Keys without braces spread over slots; the braces of the specification's format string are placeholders.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

import msgspec

from app.redis.clients import Script


class Malformed(ValueError):
    """A record of no form that is known here."""


def digest(session_id: str) -> str:
    """SHA-256 of a session's id, in the id's own form: what stands for it in Redis. 256 random bits need no salt."""
    return urlsafe_b64encode(sha256(session_id.encode()).digest())[:43].decode()


def session_key(region: str, session_id: str) -> str:
    """The specification's key, with the digest in the place of the id."""
    return f"session:{region}:{digest(session_id)}"


def session_prefix(region: str) -> str:
    """How a region's session keys begin; the digest follows."""
    return f"session:{region}:"


def revoked_key(region: str, user: str) -> str:
    """Where a region keeps the time (ms) before which all of a user's sessions are revoked."""
    return f"revoked:{region}:{user}"


def index_key(region: str, user: str) -> str:
    """The set of the digests of a user's session ids in a region."""
    return f"user-sessions:{region}:{user}"


def revocations_key(region: str) -> str:
    """The sorted set (score: ms) of what was revoked by this region: `s:<digest>` and `u:<user>`."""
    return f"revocations:{region}"


def heartbeat_key(region: str) -> str:
    """When the region's primary was last written to (ms, its own clock): tells how old a copy is."""
    return f"heartbeat:{region}"


def live(version: int, envelope: bytes) -> bytes:
    """An L record."""
    return b"L" + version.to_bytes(8, "big") + envelope


def is_live(record: bytes) -> bool:
    """Whether a record is a session's own: L."""
    return record[:1] == b"L"


def is_move(record: bytes) -> bool:
    """Whether a record says where the session went: M."""
    return record[:1] == b"M"


def is_gone(record: bytes) -> bool:
    """Whether a record says that the session has ended: G."""
    return record[:1] == b"G"


def version_of(record: bytes) -> int:
    """A record's version."""
    return int.from_bytes(record[1:9], "big")


class Move(msgspec.Struct, frozen=True):
    """An M record: the session goes `to` a region at `version`; `record` is the L record it was in `origin`."""

    version: int
    to: str
    origin: str
    record: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Move:
        """From an M record. Raises Malformed."""
        try:
            middle = 10 + raw[9]
            after = middle + 1 + raw[middle]
            return cls(version_of(raw), raw[10:middle].decode(), raw[middle + 1 : after].decode(), raw[after:])
        except (IndexError, UnicodeDecodeError) as error:
            raise Malformed(f"no record of a move: {error}") from None


_LUA = """
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function u64(n) return struct.pack('>I4I4', math.floor(n / 4294967296), n % 4294967296) end
local function text(s) return string.char(#s) .. s end
local function version(s)
  local high, low = struct.unpack('>I4I4', s, 2)
  return high * 4294967296 + low
end
local function revoked(key, created)
  local before = redis.call('GET', key)
  return before and tonumber(before) >= tonumber(created)
end
"""

PUT = Script(
    _LUA
    + """
-- A session begins or arrives.
-- KEYS session, revoked, index; ARGV record, version, expires at ms, created ms, id, index ms
-- -> {'ok'} | {'gone'} | {'other', the record that is at least as new}
local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, 1) == 'G' then return {'gone'} end
if revoked(KEYS[2], ARGV[4]) then return {'gone'} end
if there and version(there) >= tonumber(ARGV[2]) then return {'other', there} end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[3])
redis.call('SADD', KEYS[3], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[6])
return {'ok'}
"""
)

SAVE = Script(
    _LUA
    + """
-- KEYS session, revoked; ARGV version expected, record, expires at ms, created ms
-- -> {'ok'} | {'gone'} | {'moved', record} | {'conflict', record}. Never makes a session that is not there.
local there = redis.call('GET', KEYS[1])
if not there then return {'gone'} end
local kind = string.sub(there, 1, 1)
if kind == 'G' then return {'gone'} end
if kind == 'M' then return {'moved', there} end
if revoked(KEYS[2], ARGV[4]) then
  redis.call('SET', KEYS[1], 'G' .. u64(version(there) + 1), 'KEEPTTL')
  return {'gone'}
end
if version(there) ~= tonumber(ARGV[1]) then return {'conflict', there} end
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
return {'ok'}
"""
)

MOVE = Script(
    _LUA
    + """
-- KEYS session; ARGV region it moves to, region of this server
-- -> {'took', the L record} | {'moved', the M record} | {'gone'} | {'absent'}
local there = redis.call('GET', KEYS[1])
if not there then return {'absent'} end
local kind = string.sub(there, 1, 1)
if kind == 'G' then return {'gone'} end
if kind == 'M' then return {'moved', there} end
local tombstone = 'M' .. u64(version(there) + 1) .. text(ARGV[1]) .. text(ARGV[2]) .. there
redis.call('SET', KEYS[1], tombstone, 'KEEPTTL')
return {'took', there}
"""
)

ADOPT = Script(
    _LUA
    + """
-- Says on this server, which does not have the session, who takes it: for a region whose primary is away, and
-- for a region that was to have it and does not, so that a late arrival there finds itself overtaken.
-- KEYS session; ARGV region that takes it, version, region of the L record, the L record, expires at ms
-- -> {'took'} | {'moved'|'there', record} | {'gone'}
local there = redis.call('GET', KEYS[1])
if there then
  local kind = string.sub(there, 1, 1)
  if kind == 'G' then return {'gone'} end
  if version(there) >= tonumber(ARGV[2]) then
    if kind == 'M' then return {'moved', there} end
    return {'there', there}
  end
end
local tombstone = 'M' .. u64(tonumber(ARGV[2])) .. text(ARGV[1]) .. text(ARGV[3]) .. ARGV[4]
redis.call('SET', KEYS[1], tombstone, 'PXAT', ARGV[5])
return {'took'}
"""
)

REVOKE = Script(
    _LUA
    + """
-- One session. KEYS session, revocations; ARGV expires at ms, member, keep ms. The server's clock: pods' differ
local there = redis.call('GET', KEYS[1])
local n = there and version(there) or 0
redis.call('SET', KEYS[1], 'G' .. u64(n + 1), 'PXAT', ARGV[1])
local now = now_ms()
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""
)

REVOKE_USER = Script(
    _LUA
    + """
-- All of a user's sessions. KEYS revoked, index, revocations; ARGV now ms, keep ms, member, prefix of session keys
local before = redis.call('GET', KEYS[1])
if not before or tonumber(before) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
local ended = 0
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local key = ARGV[4] .. id
  local there = redis.call('GET', key)
  if there and string.sub(there, 1, 1) ~= 'G' then
    redis.call('SET', key, 'G' .. u64(version(there) + 1), 'KEEPTTL')
    ended = ended + 1
  end
end
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[3], ARGV[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[1] - ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return ended
"""
)

BEAT = Script(
    _LUA
    + """
-- KEYS heartbeat; ARGV keep ms
redis.call('SET', KEYS[1], now_ms(), 'PX', ARGV[1])
return 1
"""
)
