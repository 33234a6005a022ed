"""What the chaos suite is made of: processes, the proxy, the workload, the decoder and the checker."""
