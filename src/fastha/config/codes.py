"""The diagnostics' codes in full: why one comes and what to do. `fastha explain FH0203` and
docs/diagnostics.md show it.

The one-line meaning is in :data:`fastha.config.diagnostics.CODES`; a test keeps both alike.
"""

from __future__ import annotations

import msgspec

from .diagnostics import CODES


class Page(msgspec.Struct, frozen=True):
    """What stands behind a code."""

    why: str
    remedy: str


PAGES: dict[str, Page] = {
    "FH0001": Page(
        "The configuration itself, or a key file that it names, is missing or may not be read.",
        "Look at the path and its permissions. The daemon does not start without its file; a reload keeps "
        "what runs.",
    ),
    "FH0002": Page(
        "A file includes itself, directly or through others, or files include each other too deeply.",
        "Take the include that closes the circle out.",
    ),
    "FH0003": Page(
        "Nothing matches an include, or what matches is executable and therefore not read. `include` only "
        "warns; includer, includem, includew, includeb and includea make it an error.",
        "Correct the pattern. Relative names start at the directory of the file that includes.",
    ),
    "FH0004": Page(
        "A line of more than 1,024 characters, or with a NUL octet, is left out, as keepalived does.",
        "Split the line. Is the file text at all?",
    ),
    "FH0005": Page(
        "A $definition, ~SEQ or ~LST cannot be expanded: unknown, without end, too large, or malformed.",
        "Definitions are `$NAME=VALUE` without a blank before the =, and must stand above their use.",
    ),
    "FH0006": Page(
        "The file is over 256 MiB or not text.",
        "Was another file meant?",
    ),
    "FH0007": Page(
        "There are more problems than are shown (500 of each severity).",
        "Put the first ones right: others often follow from them.",
    ),
    "FH0101": Page(
        "The word is no keyword here. It is ignored, with its block, as keepalived does.",
        "Often a spelling, or a keyword of another block: `fastha explain KEYWORD` says where it may stand.",
    ),
    "FH0102": Page(
        "A keyword lacks its value. keepalived ends at once here, so this is an error.",
        "Add the value; the diagnostic says what is expected.",
    ),
    "FH0103": Page(
        "A number was expected. The keyword is ignored and its default holds.",
        "Write digits, without a unit (BFD's times may have one: 500us, 50ms).",
    ),
    "FH0104": Page(
        "The number is outside of what the keyword takes. It is ignored and the default holds.",
        "The diagnostic names the range.",
    ),
    "FH0105": Page(
        "An IP address was expected, or one of the other family. The entry is left out.",
        "Host names are not resolved here. `unicast_peer` and source addresses have no /length.",
    ),
    "FH0106": Page(
        "A switch takes true, on, yes, false, off or no, in lower case. The line is ignored.",
        "Write one of these, or nothing for on.",
    ),
    "FH0107": Page(
        "Words follow the last one that the keyword takes. They are ignored.",
        "Take them out; a comment begins with # or !.",
    ),
    "FH0108": Page(
        "A block is not closed, closed twice, or opened without a keyword. What follows may be read as part "
        "of the wrong block.",
        "The diagnostic stands at the block that was left open. `fastha config fmt` shows how it is read.",
    ),
    "FH0109": Page(
        "The keyword needs a block { ... }, or takes none.",
        "`fastha explain KEYWORD` shows its form.",
    ),
    "FH0110": Page(
        "The keyword takes one of a few words, and this is none. It is ignored and the default holds.",
        "The diagnostic lists the words.",
    ),
    "FH0111": Page(
        "The keyword is part of keepalived's language; fastha reads and checks it, and does not do it "
        "(yet), or does not need it.",
        "`fastha compat FILE` lists all of them.",
    ),
    "FH0112": Page(
        "An old spelling. It works.",
        "Use the one that the diagnostic names.",
    ),
    "FH0113": Page(
        "A word or value cannot be used as it stands: a quote that is not closed, a key that is not "
        "hexadecimal, an option that only the kernel sets.",
        "The diagnostic says which. The word is ignored.",
    ),
    "FH0201": Page(
        "Two instances on one interface and family have the same VRID, so that one would hear the other's "
        "adverts as its own.",
        "Give one of them another virtual_router_id; every pair of routers on a link needs its own.",
    ),
    "FH0202": Page(
        "Something compulsory is missing. For an instance this is an error; a script, file, session or check "
        "is left out.",
        "The diagnostic names it.",
    ),
    "FH0203": Page(
        "Two settings exclude each other, as nopreempt with state MASTER; one of them is ignored, the same "
        "one as in keepalived.",
        "Take one of them out. The diagnostic says which one counts.",
    ),
    "FH0204": Page(
        "A script, file, process, session, instance or group is named that nothing defines. The reference "
        "is left out; the failure that it was to notice goes unnoticed.",
        "Define it (keepalived wants it above the line that uses it), or correct the spelling.",
    ),
    "FH0205": Page(
        "Two things have the same name; the first one counts.",
        "Rename one.",
    ),
    "FH0206": Page(
        "Two instances hold the same address on one interface: whichever changes state last decides.",
        "Keep it in one of them, or put both into one instance.",
    ),
    "FH0207": Page(
        "A value was changed to one that the protocol can carry: an interval rounded, a password cut, "
        "addresses beyond an advert's size moved to virtual_ipaddress_excluded.",
        "Write the value that is used; all routers of the virtual router must agree.",
    ),
    "FH0208": Page(
        "A virtual server has nobody behind it, or a real server has no check and is taken as always up.",
        "Add a real_server, or a check such as TCP_CHECK.",
    ),
    "FH0209": Page(
        "IPv4 and IPv6 are mixed where they cannot be.",
        "Use one family, or tunnelling (lvs_method TUN), where the diagnostic allows it.",
    ),
    "FH0210": Page(
        "The weights of all real servers together do not reach the quorum, so that the virtual server "
        "never has it.",
        "Lower quorum or hysteresis, or raise weights.",
    ),
    "FH0213": Page(
        "Allowed, but so unusual that it may be a mistake.",
        "Look at the value once more.",
    ),
    "FH0214": Page(
        "A virtual or static route without dev: keepalived and fastha cannot tell from a link's state "
        "whether it is still there.",
        "Name the interface with dev, or say no_track to show that it is meant.",
    ),
    "FH0215": Page(
        "A policy rule without a preference gets one by counting down, which puts it before rules that were "
        "there.",
        "Give the rule a preference.",
    ),
    "FH0301": Page(
        "A tracked failure takes less off the priority than the gap to the next router, so that the address "
        "stays where it is broken. The classic is weight -2 with priorities 100 and 90.",
        "Make the weight larger than the gap, or leave the weight out: then the failure is a fault and the "
        "address moves.",
    ),
    "FH0302": Page(
        "nopreempt on the other router: it does not take over from a master that is alive, however low its "
        "priority falls. A tracked failure with a weight does not move the address.",
        "Leave the weight out, so that the failure is a fault (priority 0 is sent and the other one takes "
        "over), or take nopreempt out.",
    ),
    "FH0303": Page(
        "The priority reaches 1 or 254 before all weights count, so that further failures change nothing.",
        "Choose weights that fit between 1 and 254 together.",
    ),
    "FH0304": Page(
        "Strict mode drops packets to the virtual addresses (no_accept is implied): they answer no ping and "
        "no service, unless the router owns them or load balancing takes the packets first. vrrp_strict came "
        "into many files from a sample.",
        "Take vrrp_strict out, or say accept in the instance.",
    ),
    "FH0305": Page(
        "The address owner (priority 255) cannot lose priority: weights are without effect.",
        "Use a priority below 255, or leave the weights out so that a failure is a fault.",
    ),
    "FH0306": Page(
        "Both routers have the same priority; the higher primary address decides who is master.",
        "Give them different priorities, so that the choice is yours.",
    ),
    "FH0307": Page(
        "A setting that the routers of a virtual router must share differs between the files: their adverts "
        "would be refused, and both would be master.",
        "Make both files alike in what the diagnostic names.",
    ),
    "FH0309": Page(
        "The router gains priority while something works, and the gain is more than its lead, so that a "
        "failure on both routers, or a start in the wrong order, decides who is master.",
        "Prefer a negative weight: it acts only on failure.",
    ),
    "FH0310": Page(
        "The two routers list different virtual addresses for one virtual router.",
        "Make the lists alike; during a change they may differ for a while.",
    ),
    "FH0311": Page(
        "A script that is tried less often than it may run, or slower than the adverts need: its result "
        "comes late.",
        "Lower interval, timeout or fall.",
    ),
    "FH0312": Page(
        "Nothing but the machine's death or its interface going down moves the address: no script, file, "
        "process or BFD session is tracked.",
        "If a service runs on the address, track it.",
    ),
    "FH0313": Page(
        "auth_pass travels in the clear and is the same for all: it protects against mistakes, not against "
        "anybody on the link.",
        "Use unicast peers with check_unicast_src, or auth_hmac.",
    ),
    "FH0401": Page(
        "A script, hook or check does not exist here, may not be executed by its user, or is refused by "
        "enable_script_security because somebody other than root could change it. The daemon goes on "
        "without it: a script that does not run notices nothing.",
        "Look at path, owner and mode of the file and of every directory above it, and at script_user.",
    ),
    "FH0402": Page(
        "A program would run as root although somebody else can change it, or something else about it is "
        "odd. It runs.",
        "Say enable_script_security after the files and directories belong to root alone, or run it as "
        "another user.",
    ),
    "FH0403": Page(
        "The interface does not exist on this machine now. fastha starts all the same and the instance is "
        "in FAULT until it comes.",
        "Correct the name, unless the interface comes later.",
    ),
    "FH0404": Page(
        "A certificate, key or FIFO's directory is missing or cannot be read by whoever runs the check.",
        "Create it, or correct the path.",
    ),
}


def page(code: str) -> str:
    """What `fastha explain CODE` prints; LookupError for an unknown code."""
    if code not in PAGES:
        raise LookupError(code)
    found = PAGES[code]
    return f"{code}  {CODES[code]}\n\n{found.why}\n\nWhat to do: {found.remedy}"
