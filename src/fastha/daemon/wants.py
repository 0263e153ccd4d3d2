"""What of the daemon a configuration needs: rooms that it does not need are never loaded."""

from __future__ import annotations

from fastha.config.model import Config, SyncGroup, VrrpSettings


def hooks(config: Config) -> bool:
    """Whether anything is tracked by script, file or process, or told to anybody."""
    g = config.globals_
    if g.notify_fifo or g.vrrp_notify_fifo or g.startup_script or g.shutdown_script or g.smtp.recipients:
        return True
    if g.lvs_notify_fifo or g.bfd_notify_fifo or g.webhooks or g.journal or balance(config):
        return True
    if any(s.notify or s.notify_up or s.notify_down for s in config.bfd_instances):
        return True
    tracked = ("track_scripts", "track_files", "track_processes")
    things: list[VrrpSettings | SyncGroup] = [*(i.settings for i in config.instances), *config.sync_groups]
    for thing in things:
        if any(getattr(thing, field) for field in tracked):
            return True
        if any(getattr(thing.notify, field) for field in thing.notify.__struct_fields__):
            return True
    return False


def sessions(config: Config) -> bool:
    """Whether there is anything of BFD."""
    if config.bfd_instances or config.bfd_unsolicited or config.sbfd_reflector is not None:
        return True
    return any(instance.settings.bfd_auto is not None for instance in config.instances)


def balance(config: Config) -> bool:
    """Whether there are virtual servers, or an IPVS sync daemon."""
    return bool(config.lvs.virtual_servers) or config.lvs.sync_daemon is not None or config.lvs.flush
