"""The deployment program run by an embedded engine: no cloud, no credentials, no CLI.

`plan.run` gives a `Plan`: every resource that `pulumi up` would create, judged as the real engine judges it.
`python -m plan preview` prints one.
"""
