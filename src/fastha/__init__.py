"""fastha keeps an address alive: VRRP, BFD and health-checked IPVS on a compiled core."""

__version__ = "0.1.0"
