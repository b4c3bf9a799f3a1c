"""What the types of the graph are made of: scalars, inputs, payloads and connections."""
