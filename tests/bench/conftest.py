"""Small programs to plan, as the plan's own tests have them."""

from tests.plan.conftest import planned, program

__all__ = ["planned", "program"]
