"""What a plan costs a month while nobody uses it, from the dated prices of facts/data/prices.csv."""
