"""Running an operator's programs: whom they run as, whether they may run, starting, stopping, what they said.

Used alike by tracking, notification, health checks and the daemon's own start-up and shutdown scripts. May
import the compiled core only; knows nothing of instances, priorities or servers.
"""
