/* Ways in which the machines can be broken on purpose, to see whether the simulator notices.
 *
 * Only the simulator's module is compiled with FH_BREAKABLE; there the table can be set at run time.
 * Everywhere else (the engine, the library of the C tests) each question is the constant false, and no code
 * is left of it. */
#ifndef FH_BREAK_H
#define FH_BREAK_H

#include "fh_base.h"

enum fh_break {
    FH_BREAK_SKEW,        /* the skew is 0 */
    FH_BREAK_ZERO,        /* priority 0 is not heard */
    FH_BREAK_GOODBYE,     /* priority 0 is not sent */
    FH_BREAK_DRAIN,       /* timers run before what has arrived is read */
    FH_BREAK_STALL,       /* who overslept does not listen first */
    FH_BREAK_EARLY,       /* the protocol timer is set a millisecond early */
    FH_BREAK_GROUP_CLAIM, /* a member of a sync group takes over without the others */
    FH_BREAK_GROUP_YIELD, /* a member of a sync group yields without the others */
    FH_BREAK_TIE,         /* equal priorities: the lower address wins */
    FH_BREAK_PREEMPT,     /* a lower master is never displaced */
    FH_BREAK_NOPREEMPT,   /* nopreempt is not heeded */
    FH_BREAK_LEARN,       /* the master's interval is not learned */
    FH_BREAK_RELEASE,     /* a former master keeps the addresses */
    FH_BREAK_YIELD,       /* a master does not yield to a higher one */
    FH_BREAK_SPEAK,       /* a backup answers lower masters */
    FH_BREAK_BFD_POLL,    /* a Poll is not answered */
    FH_BREAK_BFD_DETECT,  /* a silent neighbour is not noticed */
    FH_BREAK_BFD_SLEEP,   /* own sleep counts as the neighbour's silence */
    FH_BREAK_LESSER,      /* a lesser master's interval shortens the patience with a better one */
    FH_BREAK_GROUP_WAIT,  /* members of a drained group come back each at its own time */
    FH_BREAKS
};

#ifdef FH_BREAKABLE
extern uint32_t fh_broken; /* a set of 1 << FH_BREAK_... */
#define FH_BROKEN(what) ((fh_broken & (UINT32_C(1) << (what))) != 0)
#else
#define FH_BROKEN(what) false
#endif

#endif
