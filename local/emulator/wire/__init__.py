"""AWS's protocols: requests into plain dictionaries and back, all of it led by botocore's service models."""
