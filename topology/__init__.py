"""The stack file as a typed, frozen, pure model, and what follows from it."""
