"""Files of weights: where they are, how tensors lie in them, and which model they fit."""
