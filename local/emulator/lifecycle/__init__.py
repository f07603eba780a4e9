"""Life cycles: each owns every state transition of its resource."""
