"""Virtual servers: desired IPVS state, reconciled with the kernel, fed by health checks."""
