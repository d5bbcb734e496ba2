"""What others may collect from us: the live graph in Istio's standard metrics, and how we do ourselves."""
