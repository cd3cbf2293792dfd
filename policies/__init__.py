"""What would cause an outage or a breach, as rules that judge the resources of a stack.

`policies/__main__.py` is the CrossGuard pack for `pulumi preview --policy-pack policies`; `python -m policies.cli`
judges the embedded plan with the same rules. Why each rule is there, and how to write one: docs/policies.md.
"""
