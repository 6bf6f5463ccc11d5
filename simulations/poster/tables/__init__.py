"""The poster's tables 1.0 and 2.0: hospitals that train by summed gradients."""
