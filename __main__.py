"""HAL9 on AWS: read the topology, hold it against what stands, build the regions, join them, export what is needed."""

import pulumi

from components.authorities import Authorities
from components.database import ShardDatabase
from components.document import deployment_documents
from components.domain import Domain
from components.edge import Edge
from components.incluster import Clusters
from components.peering import PeeringMesh
from components.redis import RegionCache, RegionSessions
from components.region import RegionCell, aws_provider
from components.secrets import SessionKeyring
from topology import catalog
from topology.capacity import capacity_warnings
from topology.load import load
from topology.naming import GLOBAL
from topology.record import OUTPUT, record
from topology.standing import check

topology = load()
check(topology)
for warning in capacity_warnings(topology):
    pulumi.log.warn(warning)
regions = topology.ordered_regions

global_services = pulumi.ResourceOptions(providers=[aws_provider(GLOBAL, catalog.GLOBAL_AWS_REGION, topology)])
domain = Domain(topology, global_services)

cells = {region.name: RegionCell(region, topology, domain) for region in regions}
vaults = {name: cell.vault for name, cell in cells.items()}
peering = PeeringMesh(topology, cells)

keyring = SessionKeyring(topology, vaults)
authorities = Authorities(topology, vaults)
shards = [ShardDatabase(shard, topology, cells, vaults) for shard in topology.shards]
caches = {name: RegionCache(cell, topology, vaults) for name, cell in cells.items()}
sessions = {region.name: RegionSessions(region, topology, cells, vaults) for region in regions}
documents = deployment_documents(topology, shards, caches, sessions)

data = [peering, keyring, *shards, *caches.values(), *sessions.values()]
if topology.server.deployed:
    texts = {name: document.text for name, document in documents.items()}
    Clusters(topology, cells, texts, authorities.mesh, data)

edge = Edge(topology, domain, cells, vaults, global_services)

pulumi.export("url", edge.url)
pulumi.export("edge", edge.domain_name)
if domain.name_servers is not None:
    pulumi.export("nameServers", domain.name_servers)
pulumi.export("clusters", {name: cell.cluster.name for name, cell in cells.items()})
pulumi.export("kubeconfig", {name: cell.cluster.kubeconfig_command for name, cell in cells.items()})
pulumi.export("registries", {name: cell.registry.url for name, cell in cells.items()})
pulumi.export("loadBalancers", {name: cell.load_balancers.public_dns for name, cell in cells.items()})
pulumi.export("deployment", {name: document.document for name, document in documents.items()})
pulumi.export(OUTPUT, record(topology))
