"""Messages on the wire: records as bytes, and the signed envelope that binds each to its session."""
