"""What is asked before AWS is: the plan against what only AWS knows
(facts/), and with credentials AWS itself, reading alone.

`python -m preflight --stack prod` needs no cloud; `--live` asks one. Nothing here changes anything.
"""
