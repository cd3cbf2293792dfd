"""The distributed cache of section 4: L1 in the process, L2 in the region's Redis cluster.

`DistributedCache` is the whole public surface. What it guarantees is stated in app/cache/cache.py.
"""

from app.cache.cache import CacheStats, DistributedCache, Invalidation, required_floors
from app.cache.records import Floors

__all__ = ["CacheStats", "DistributedCache", "Floors", "Invalidation", "required_floors"]
