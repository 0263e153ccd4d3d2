/* The BFD session machine: RFC 5880 6.2-6.8, with demand mode, echo bookkeeping and authentication; the
 * initiator of S-BFD (RFC 7880) and unaffiliated Echo (RFC 9747) as kinds of session; the stateless S-BFD
 * reflector.
 *
 * A pure step function, like fh_vrrp_fsm: (parameters, session, input, now) in; changed session and a set of
 * actions out. No system call, no clock, no allocation, no random source: the caller gives the time and
 * random bits, owns two timers for each session (a third where Echo is used), sends what it is told to send,
 * and finds the session for a packet.
 *
 * Where the texts leave room, chosen as docs/protocols.md says:
 *   - time during which the engine itself slept does not count as the neighbour's silence (input.asleep);
 *   - a session that comes Up clears its diagnostic;
 *   - a Poll Sequence is not started by the fall-back to the slow rate on leaving Up: the handshake announces
 * it;
 *   - RcvAuthSeq moves only after the digest has matched. */
#ifndef FH_BFD_FSM_H
#define FH_BFD_FSM_H

#include "fh_base.h"
#include "fh_bfd_codec.h"

#define FH_BFD_SLOW_US                                                                                       \
    1000000u /* least Desired Min TX while not Up (6.8.3), and exactly that by RFC 7419                      \
              */
#define FH_BFD_TX_KEY_NONE 0xff
#define FH_BFD_ECHO_LEN 24 /* what we put into an Echo packet */

enum fh_bfd_kind {
    FH_BFD_KIND_SESSION = 0, /* RFC 5880 */
    FH_BFD_KIND_SBFD = 1,    /* S-BFD initiator: towards params.remote_discr */
    FH_BFD_KIND_LOOPED = 2,  /* unaffiliated Echo: hears its own packets */
};

/* What the operator configured; constant between reconfigurations. Intervals in microseconds. */
typedef struct {
    uint32_t min_tx_us;      /* wanted transmit interval while Up, at least 1 */
    uint32_t min_rx_us;      /* Required Min RX; 0 tells the neighbour to send nothing periodic */
    uint32_t idle_tx_us;     /* transmit interval while not Up; raised to FH_BFD_SLOW_US */
    uint32_t min_echo_rx_us; /* Required Min Echo RX that we announce; 0: we do not loop Echo */
    uint32_t echo_tx_us;     /* wanted Echo interval; 0: send none */
    uint32_t demand_poll_us; /* with demand: verify by a Poll Sequence this often; 0: never */
    uint32_t remote_discr;   /* S-BFD: the reflector's */
    uint16_t padded;         /* zero-pad packets to this many octets (RFC 9764); 0: none */
    uint8_t detect_mult;     /* 1-255 */
    uint8_t kind;            /* enum fh_bfd_kind */
    uint8_t key_count;       /* keys accepted; 0: no authentication */
    uint8_t tx_key;          /* index of the key that signs, FH_BFD_TX_KEY_NONE: send without */
    bool passive;
    bool demand;        /* wants demand mode */
    bool auth_optional; /* with keys: also accept packets without authentication, while it is being rolled out
                         */
    const fh_bfd_key *keys;
} fh_bfd_params;

/* What changes while it runs. Made by fh_bfd_init. Deadlines are absolute, FH_NEVER when there is none; after
 * every step the caller sets its timers as the actions say. */
typedef struct {
    fh_ns tx_at;     /* FH_BFD_EV_TX is due */
    fh_ns detect_at; /* FH_BFD_EV_DETECT is due, once the receive queue is drained */
    fh_ns echo_at;   /* FH_BFD_EV_ECHO is due */
    fh_ns last_tx;   /* last scheduled or extra packet (not F), 0: none */
    fh_ns last_rx;   /* last packet that counted as received, 0: none */
    fh_ns seq_tx_at; /* when xmit_seq was last raised */
    fh_ns poll_at;   /* first packet with P of the running Poll Sequence */
    fh_ns poll_end;  /* end of the last one, or when demand mode began */
    fh_ns echo_rx;   /* last own Echo that came back, or when Echo began */
    fh_ns echo_tx_at, echo_expire_at;
    fh_ns asleep_mark; /* input.asleep at last_rx */
    fh_ns echo_asleep_mark;
    fh_ns admin_until;   /* AdminDown was told for one detection time when this has passed (6.8.16) */
    fh_ns up_since;      /* 0: not Up */
    uint64_t echo_token; /* in our Echo packets, so that nobody else can return them */
    uint32_t local_discr, remote_discr;
    uint32_t desired_min_tx_us, required_min_rx_us; /* as announced */
    uint32_t tx_min_us, rx_min_us;                  /* as in force: until F, 6.8.3 may hold the old value */
    uint32_t remote_min_tx_us, remote_min_rx_us, remote_min_echo_rx_us;
    uint32_t min_echo_rx_us; /* as last announced */
    uint32_t xmit_seq, rcv_seq;
    uint32_t echo_seq;
    uint32_t transitions; /* state changes so far */
    uint32_t sent_digest; /* of the last packet's contents, for the sequence of keyed authentication */
    uint16_t jitter;      /* of the current interval */
    uint16_t echo_jitter;
    uint8_t state, remote_state; /* enum fh_bfd_state */
    uint8_t local_diag, remote_diag;
    uint8_t remote_mult;
    uint8_t detect_mult; /* as last announced */
    uint8_t extra;       /* packets sent at once because a state changed, since the last scheduled one */
    uint8_t backoff;     /* intervals are doubled so many times (5880 7) */
    bool remote_demand;  /* D of the last packet */
    bool demand_on;      /* ours: wanted, and both sides Up */
    bool watched;        /* silence counts: not in demand mode, not while we ask for no packets */
    bool seq_known;      /* bfd.AuthSeqKnown */
    bool forgotten;      /* one detection time of silence has passed */
    bool poll;           /* a Poll Sequence runs */
    bool poll_sent;      /* its first packet has gone */
    bool poll_pending;   /* something changed meanwhile: after one packet without P another one follows */
    bool p_bit;          /* of the packet that is to be sent */
    bool echo_on;
} fh_bfd;

enum fh_bfd_event {
    FH_BFD_EV_TX = 0,     /* tx_at has passed */
    FH_BFD_EV_DETECT,     /* detect_at has passed, and what had arrived was given to fh_bfd_receive */
    FH_BFD_EV_ECHO,       /* echo_at has passed, and what had arrived was given to FH_BFD_EV_ECHO_BACK */
    FH_BFD_EV_ECHO_BACK,  /* an Echo packet of this session came back (fh_bfd_echo_is_ours) */
    FH_BFD_EV_ADMIN_DOWN, /* arg: the diagnostic, FH_BFD_DIAG_ADMIN_DOWN or FH_BFD_DIAG_PATH_DOWN */
    FH_BFD_EV_ADMIN_UP,
    FH_BFD_EV_RECONFIGURE,      /* *params has new contents; identity (kind, discriminator) must not change */
    FH_BFD_EV_FORWARDING_RESET, /* 6.8.15 */
    FH_BFD_EV_PATH_DOWN,        /* the lower layer says that the path is gone, for instance the link */
    FH_BFD_EV_CONCAT,           /* 6.8.17; arg: FH_BFD_DIAG_CONCAT_DOWN, _REVERSE_CONCAT_DOWN, or 0: over */
    FH_BFD_EV_BACKOFF,          /* congestion (5880 7); arg: intervals are doubled that often, 0-6 */
    FH_BFD_EV_POLL,             /* start a Poll Sequence, to verify the path in demand mode (6.6) */
};

typedef struct {
    fh_ns now;
    fh_ns rx_time;   /* of a packet or Echo: when the kernel received it, at most now */
    fh_ns asleep;    /* how long the engine has overslept in total since it started; only grows */
    fh_ns stall;     /* the part of it that ended with this wake-up; 0 when it was in time */
    uint32_t random; /* fresh, uniform */
    uint8_t event;   /* enum fh_bfd_event; not looked at by fh_bfd_receive */
    uint8_t arg;
} fh_bfd_input;

/* What is to be done. A set of bits; SEND and FINAL are mutually exclusive. */
enum fh_bfd_action {
    FH_BFD_DO_SEND = 1 << 0,         /* fh_bfd_write(final = false) now */
    FH_BFD_DO_FINAL = 1 << 1,        /* fh_bfd_write(final = true) now */
    FH_BFD_DO_ECHO = 1 << 2,         /* fh_bfd_write_echo now */
    FH_BFD_DO_TX_TIMER = 1 << 3,     /* tx_at changed */
    FH_BFD_DO_DETECT_TIMER = 1 << 4, /* detect_at changed */
    FH_BFD_DO_ECHO_TIMER = 1 << 5,   /* echo_at changed */
    FH_BFD_DO_STATE = 1 << 6,        /* state changed from old_state; cause says why */
    FH_BFD_DO_DIAG = 1 << 7,         /* a diagnostic changed, ours or theirs, without a change of state */
    FH_BFD_DO_REMOTE = 1 << 8,       /* the neighbour's discriminator, intervals or multiplier changed */
    FH_BFD_DO_POLL_END = 1 << 9,     /* F came: new intervals are in force */
    FH_BFD_DO_STALLED = 1 << 10,     /* tell: detection was put off because the engine had slept */
    FH_BFD_DO_FORGET =
        1 << 11, /* one detection time of silence: the neighbour's discriminator is forgotten */
};

/* Why a state changed; what RFC 5882 lets clients tell apart. */
enum fh_bfd_cause {
    FH_BFD_WHY_NONE = 0,
    FH_BFD_WHY_HANDSHAKE,      /* Down to Init, Init or Down to Up */
    FH_BFD_WHY_EXPIRED,        /* control detection time */
    FH_BFD_WHY_ECHO,           /* our Echo no longer comes back */
    FH_BFD_WHY_NEIGHBOR_DOWN,  /* it says Down: it lost us, or it restarted */
    FH_BFD_WHY_NEIGHBOR_ADMIN, /* it says AdminDown: no failure (5882 3.2, 4.2) */
    FH_BFD_WHY_ADMIN,          /* we were told to */
    FH_BFD_WHY_FORWARDING,     /* forwarding plane reset */
    FH_BFD_WHY_PATH,           /* the lower layer said so */
    FH_BFD_CAUSES
};
const char *fh_bfd_cause_name(unsigned cause);

typedef struct {
    uint32_t bits;     /* FH_BFD_DO_... */
    uint8_t cause;     /* enum fh_bfd_cause, with DO_STATE */
    uint8_t old_state; /* likewise */
} fh_bfd_actions;

/* A session in Down that begins to send at now (unless passive). discr: random, not 0, unique among ours;
 * seq, token: random. The caller then sets its tx timer to s->tx_at. */
void fh_bfd_init(const fh_bfd_params *p, fh_bfd *s, uint32_t discr, uint32_t seq, uint64_t token, fh_ns now);

/* Every input but packets. */
fh_bfd_actions fh_bfd_step(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in);

/* Steps 10 to 20 of 5880 6.8.6 for a packet that passed fh_bfd_decode, belongs to this session and came the
 * right way. buf: what it was decoded from. On anything but OK and ADMIN_DOWN nothing has changed and *out is
 * empty. */
enum fh_bfd_rx fh_bfd_receive(const fh_bfd_params *p, fh_bfd *s, const fh_bfd_input *in,
                              const fh_bfd_packet *packet, const uint8_t *buf, fh_bfd_actions *out);

/* Writes the packet that DO_SEND or DO_FINAL asks for and moves the authentication sequence. cap: at least
 * FH_BFD_PACKET_MAX and p->padded. Gives its length, 0 if cap is too small. */
size_t fh_bfd_write(const fh_bfd_params *p, fh_bfd *s, fh_ns now, bool final, uint8_t *buf, size_t cap);

/* What an Echo packet of ours carries (affiliated Echo; RFC 5880 leaves the contents to the sender). */
size_t fh_bfd_write_echo(fh_bfd *s, fh_ns now, uint8_t buf[FH_BFD_ECHO_LEN]);
/* The session it belongs to, by its discriminator, or 0. */
uint32_t fh_bfd_echo_discr(const uint8_t *buf, size_t len);
/* It is one of this session's last 256 Echo packets. */
bool fh_bfd_echo_is_ours(const fh_bfd *s, const uint8_t *buf, size_t len);

/* Negotiated values, in nanoseconds; 0 where there is none. */
fh_ns fh_bfd_tx_int(const fh_bfd_params *p, const fh_bfd *s); /* agreed transmit interval, without jitter */
fh_ns fh_bfd_rx_int(const fh_bfd_params *p, const fh_bfd *s); /* the neighbour's agreed transmit interval */
fh_ns fh_bfd_detect_int(const fh_bfd_params *p, const fh_bfd *s); /* detection time */
fh_ns fh_bfd_echo_int(const fh_bfd_params *p, const fh_bfd *s);   /* Echo interval, 0 while Echo is off */
/* A session being removed has told AdminDown for long enough, or has nobody to tell. */
bool fh_bfd_may_delete(const fh_bfd_params *p, const fh_bfd *s, fh_ns now);

/* ---- S-BFD reflector (RFC 7880 7.2, RFC 7881) ---- */

typedef struct {
    uint32_t min_rx_us; /* Required Min RX that it announces */
    bool admin_down;    /* answers AdminDown instead of Up */
    uint8_t discr_count;
    const uint32_t *discrs; /* the reflector's discriminators */
    uint8_t key_count;
    const fh_bfd_key *keys; /* authentication; answers with the key that the question used */
} fh_sbfd_reflector;

/* Answers packet (decoded from buf, received from UDP port src_port): writes the answer, to go back to where
 * the question came from with TTL 255, and its length. No state: the sequence number is taken over and not
 * judged. */
enum fh_bfd_rx fh_sbfd_reflect(const fh_sbfd_reflector *r, const fh_bfd_packet *packet, const uint8_t *buf,
                               uint16_t src_port, uint8_t *out, size_t cap, size_t *out_len);

#endif
