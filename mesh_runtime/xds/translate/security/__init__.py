"""What requests and connections must prove before they reach a workload."""
