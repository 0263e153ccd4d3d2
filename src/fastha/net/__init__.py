"""What the kernel is asked for and how it is read back: links, addresses, routes, rules, virtual MACs,
filters.
"""
