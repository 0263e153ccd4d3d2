"""What engine.pyx, vnode.pyx and sim.pyx know alike: the settings of an instance, and events."""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t

cdef extern from "fh_base.h" nogil:
    ctypedef int64_t fh_ns
    ctypedef struct fh_addr:
        uint8_t b[16]

cdef extern from "fh_vrrp_fsm.h" nogil:
    ctypedef struct fh_vrrp_params:
        fh_ns adver_int
        fh_ns preempt_delay
        fh_ns linger
        uint8_t version
        uint8_t base_priority
        uint8_t down_adverts
        bint preempt
        bint lower_prio_no_advert
        bint higher_prio_advert
        bint graceful
        bint gated
        uint8_t stall_backup_prio
    const char *fh_vrrp_state_name(int state)
    const char *fh_vrrp_cause_name(int cause)

cdef extern from "fh_node.h" nogil:
    ctypedef struct fh_event:
        fh_ns at
        uint32_t type
        uint32_t inst
        uint32_t arg[4]
        int64_t v[6]
        fh_addr addr
    ctypedef struct fh_track_link:
        uint32_t ifindex
        int16_t weight
        bint reverse
    ctypedef struct fh_announce_conf:
        fh_ns second_delay
        fh_ns lower_second_delay
        fh_ns refresh
        uint8_t repeat
        uint8_t lower_repeat
        uint8_t refresh_repeat
        bint teach
    ctypedef struct fh_inst_conf:
        fh_vrrp_params fsm
        fh_announce_conf announce
        fh_ns renew_int
        fh_ns repair_window
        uint32_t ifindex
        uint32_t group
        uint16_t repair_limit
        uint16_t tracks
        bint track_primary
        const fh_track_link *track
