"""What an error means for the client. Anything not named here is a mistake of ours: 500."""

from __future__ import annotations

import logging

import asyncpg

from app.databases.databases import CommitUnknown, DatabaseUnavailable, KeyReused, WrongEpoch
from app.databases.sharding import ShardingError
from app.deadlines import DeadlineExceeded
from app.http.problem import Problem, unavailable
from app.http.request import Request
from app.items import InvalidKey, NoSuchUser, PreconditionFailed, QuotaReached
from app.redis.away import BreakerOpen, is_away
from app.sessions.manager import SessionsUnreachable

log = logging.getLogger(__name__)


def explain(error: Exception, request: Request) -> Problem:
    """The problem that `error` means. What is not the client's doing is logged under the request's id."""
    if isinstance(error, Problem):
        return error
    problem = problem_of(error)
    if problem is not None:
        if problem.status >= 500:
            log.warning("request %s: %s (%s)", request.id, problem.kind, type(error).__name__)
        return problem
    if isinstance(error, TimeoutError):
        return Problem(504, "deadline", "There was no answer in time.")
    log.error("request %s failed", request.id, exc_info=error)
    return Problem(500, "internal", "This is our mistake; the request id finds it in our logs.")


def problem_of(error: Exception) -> Problem | None:
    """The problem that `error` means, or None where it means that we are wrong."""
    known = _of_the_request(error) or _of_a_dependency(error)
    if known is None and is_away(error) and not isinstance(error, TimeoutError):
        return unavailable("redis-unavailable", "A store this request needs cannot be reached.")
    return known


def _of_the_request(error: Exception) -> Problem | None:
    if isinstance(error, InvalidKey):
        return Problem(400, "key", f"This cannot be an item's key: {error}.")
    if isinstance(error, PreconditionFailed):
        return Problem(412, "precondition", "The item is not at the version the request is for.")
    if isinstance(error, QuotaReached):
        return Problem(403, "quota", "You have as many items as you may: delete one to write another.")
    if isinstance(error, KeyReused):
        return Problem(422, "idempotency-key-reused", "This Idempotency-Key was used for another request.")
    if isinstance(error, NoSuchUser):
        return Problem(403, "not-registered", "This user is not registered.")
    if isinstance(error, ShardingError):
        return Problem(422, "region", "No shard has its home in this region: users cannot be registered there.")
    return None


def _of_a_dependency(error: Exception) -> Problem | None:
    if isinstance(error, DeadlineExceeded):
        return Problem(504, "deadline", "There was no answer in time.")
    if isinstance(error, BreakerOpen):
        return unavailable("failing", f"The {error.dependency} is failing and is not asked for now.", error.retry_after)
    if isinstance(error, CommitUnknown):
        return unavailable(
            "outcome-unknown",
            "It is not known whether this was done. Send it again with the same Idempotency-Key: it is done once.",
        )
    if isinstance(error, SessionsUnreachable):
        return unavailable("sessions-unavailable", "The session cannot be looked up now; it may well be good.")
    if isinstance(error, DatabaseUnavailable | WrongEpoch):
        return unavailable("database-unavailable", "The database of this user cannot be reached in time.")
    if isinstance(error, asyncpg.QueryCanceledError):
        return Problem(504, "deadline", "The database did not answer in time.")
    return None
