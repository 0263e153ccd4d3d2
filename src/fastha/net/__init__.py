"""Links, addresses, routes, rules, virtual MACs and filters: what the kernel is asked for and how it is read back."""
