"""What a change of a stack does: two topologies and two plans compared, offline, each change with its harm.

    python -m diff --stack prod --base main        a git revision, a stack file, or a record of what is deployed

`bases` finds what the change is told from, `comparison` pairs the resources and classes what becomes of each, `users`
tells what the topologies alone can tell, `report` and `markdown` write it down.
"""
