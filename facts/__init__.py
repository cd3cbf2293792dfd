"""What only AWS knows, written down with a source, a version and a
date: what is sold where, what is refused, what is lost.

Pure data (`data/*.json`) and readers of it; nothing here asks the cloud, and nothing outside `facts/make.py` and
`facts/sources/` asks a package. What no source has is unknown, and said to be: a reader answers None, never a guess.
`python -m facts.make` makes the generated tables again; the others were read from AWS's guides, which each names.
"""
