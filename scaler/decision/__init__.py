"""PURE: specification, state, inputs and the time become a decision, and its explanation."""
