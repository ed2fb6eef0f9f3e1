"""The catalogue of faults: what can go wrong around an order service, numbered, and what must be true after each.

A test that holds a fault to its sentence names the number: `@pytest.mark.fault(41, 53)`. `docs/write_faults.py` makes
the table of the page out of both; tests/lab/test_faults_catalogue.py fails where a number has neither test nor reason.
"""

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `reason` says why it, or the rest of it, has no test."""

    number: int
    theme: str
    name: str
    after: str
    reason: str = ""


THEMES = {
    "process": (
        (1, "SIGKILL before the batch is committed", "no row, and nobody was told that it was taken"),
        (
            2,
            "SIGKILL after the batch was committed, before the caller hears",
            "the row is pending; the same call again gets the same row",
        ),
        (3, "SIGKILL between the batch's commit and a claim's", "sent by the next run, once"),
        (
            4,
            "SIGKILL after a claim's commit, before a byte left",
            "in doubt, proven absent, sent again under the same id",
        ),
        (5, "SIGKILL with half of the request sent", "the exchange has nothing; the next run places it once"),
        (6, "SIGKILL after the request, before the answer", "found by the next run; no second order"),
        (7, "SIGKILL with the answer in the socket's buffer", "found by the next run; no second order"),
        (
            8,
            "SIGKILL around and inside the commit of an answer",
            "the answer is recorded or the order is found; one order",
        ),
        (
            9,
            "SIGKILL inside a checkpoint, at the WAL's reset, while closing",
            "the ledger holds all that was committed",
        ),
        (
            10,
            "SIGKILL during the recovery, again and again",
            "each next run goes on; it ends with one order for each row",
        ),
        (11, "SIGKILL during a migration", "the old schema or the new one; the retry passes"),
        (12, "SIGKILL while the ledger is made", "what is half made is taken for none, and made again"),
        (
            13,
            "SIGTERM or SIGINT with a request under way",
            "its answer is recorded, nothing more is sent; a second signal ends at once",
        ),
        (
            14,
            "stopped in the middle of a request (SIGSTOP, sleep, a frozen machine)",
            "no stale claim leaves; the late answer is read or the order found; one order",
        ),
        (
            15,
            "a machine's snapshot rolled back: the ledger is older than the exchange",
            "the account is read before anything is sent; nothing twice",
        ),
        (16, "power cut at any write", "what was acknowledged is there; what left was committed before"),
        (
            17,
            "the disk says that data are stored, and they are not",
            "the orders that the ledger has lost are told, and none of them is sent again",
        ),
        (18, "MemoryError, RecursionError in a sender", "in doubt, never failed"),
        (
            19,
            "stdout or stderr closed or full, logging fails",
            "orders go their way, the exit code is that of the work",
        ),
        (20, "no file descriptor left, at any point", "nothing leaves without its row; the next run finishes"),
    ),
    "disk": (
        (
            21,
            "disk full at recording, claim, answer, checkpoint, locks",
            "refused, not sent, or in doubt; the next run finishes",
        ),
        (
            22,
            "an I/O error in a read, a write or a sync, once or for good",
            "nothing is sent after it; the next start goes by what the disk holds",
        ),
        (23, "a commit that fails and is durable all the same", "in doubt, found or proven absent; no second order"),
        (24, "a commit that fails and is not durable", "nothing of it was sent; the same again is safe"),
        (
            25,
            "the database locked by another program for long",
            "delayed or refused, never sent without its row; answers are not lost",
        ),
        (26, "a write transaction that begins as a read", "does not exist: every write begins immediately"),
        (27, "the ledger on a read-only disk", "it says so and stops; nothing is sent"),
        (
            28,
            "no ledger, an empty one, random bytes, another program's file, an unknown or a second revision",
            "refused by name with exit 2, nothing is made or changed",
        ),
        (
            29,
            "flipped bits, zeroed pages, cut files, a torn last frame of the WAL",
            "noticed at the start or by the check, or without effect; nothing twice",
        ),
        (
            30,
            "the WAL deleted or another's, an old file put back",
            "noticed; the account is read before anything is sent",
        ),
        (
            31,
            "the file moved, replaced, deleted or opened by others under a run",
            "the run stops; the next one finishes",
        ),
        (
            32,
            "two instances on one ledger, by hard link, symbolic link or mount",
            "one sends at a time; a second name is refused",
        ),
        (
            33,
            "reads beside the sender, a reader that stays for long",
            "the sender never waits for it; the WAL stays bounded once it has gone",
        ),
        (34, "fork with an open ledger, threads that share one", "no transaction is shared; each order once"),
        (35, "network file system, tmpfs, overlay", "refused where the write-ahead log does not work"),
        (
            36,
            "backup while writing, restore, VACUUM, another shell with a write lock",
            "the copy is whole, the sender goes on, nothing twice",
        ),
        (
            37,
            "umask, owner or mode that let others in",
            "ledger, backups and all beside them are for their owner alone",
        ),
        (38, "a million rows, a gigabyte", "start, status and recovery stay within bounds"),
        (
            39,
            "a SQLite that can corrupt a WAL that is checkpointed beside a commit",
            "checkpoints and commits of two processes never overlap",
        ),
        (40, "a migration that meets a row it cannot move", "all of it is rolled back and the start is refused"),
    ),
    "network": (
        (
            41,
            "no name, refused, connect timeout, TLS or certificate wrong",
            "not sent, queued; never failed by counting",
        ),
        (42, "reset or end after the request was delivered", "in doubt, then found"),
        (43, "answer lost, late, or later than the next attempt", "one order, known as what it is"),
        (
            44,
            "the request arrives late: after its next attempt, a cancel, a reading without it",
            "one order; what contradicts a proof is told as late",
        ),
        (45, "a proxy delivers a request twice", "one order"),
        (46, "answers in another order, another order's answer", "matched by id or in doubt, never by luck"),
        (
            47,
            "cut or lying headers and bodies, gzip bombs, 100 MB, NaN, twin keys, nesting",
            "in doubt in bounded time and memory",
        ),
        (
            48,
            "a success that is empty, lacks ids, names another, is a 202, 204 or a redirect",
            "in doubt until the order was read; no redirect is followed",
        ),
        (
            49,
            "400 with a known code, an unknown one, or on the second attempt",
            "rejected only when no attempt may be live",
        ),
        (50, "401 for the clock, 401 for the key, 403", "signed anew once; then sending stops, all stays queued"),
        (51, "404, or 410 of an endpoint that is gone", "sending stops, loudly; the rest stays queued"),
        (52, "409 in each of its meanings", "taken: read; paused: queued; refused: rejected; else in doubt"),
        (53, "408 and 5xx, before and after the order was placed", "in doubt, then found or proven absent"),
        (54, "429, with and without end, on reads only", "queued, no storm; cancels have tokens of their own"),
        (55, "one byte now and then", "in doubt at the deadline of the whole request"),
        (
            56,
            "a black hole for long, then everything at once",
            "in doubt or queued while it lasts; one order each afterwards",
        ),
        (
            57,
            "a kept connection that the server closes between two requests",
            "another connection, or in doubt and found; one order each",
        ),
        (
            58,
            "proxies, netrc, CA and key log variables, a redirect to another host",
            "change nothing; no signature leaves",
        ),
        (
            59,
            "the exchange restarts: resets, then an empty listing for a while",
            "nothing is concluded from it; one order each",
        ),
    ),
    "exchange": (
        (
            60,
            "a created order that reads do not show yet, or show and then not",
            "waited for; not sent again, not given up",
        ),
        (61, "pages that lose, repeat or turn in circles; odd cursors", "no reading; nothing is concluded"),
        (62, "executed, canceled, partly filled, expired between the request and the look", "recorded as what it is"),
        (
            63,
            "a fill before its answer, twice, of nobody's order, of fractions, after a cancel",
            "counted once and exactly",
        ),
        (
            64,
            "a cancel meets 404, a lost answer, a fill, an order that never left or is in doubt",
            "settled by what the order shows",
        ),
        (
            65,
            "unknown words, nulls, missing fields, numbers as text, older bodies",
            "read, or in sight as unreadable; nothing hidden",
        ),
        (66, "trading pauses, a market closes or settles", "queued until it goes on; orders keep their truth"),
        (
            67,
            "self-trade, a late post-only refusal, a killed fill-or-kill that has used its id",
            "recorded as what it is; the id is not used again",
        ),
        (68, "the exchange forgets ids", "no resend before absence is proven, so no second order"),
        (
            69,
            "another program on the same account, even with the same ids",
            "external, or parked for a person; never counted as ours",
        ),
        (70, "the exchange loses an order that it acknowledged", "told as a break; not placed again"),
        (
            71,
            "refused for money or limits when an earlier attempt had landed",
            "the first is looked for before anything is concluded",
        ),
    ),
    "clock": (
        (
            72,
            "the wall clock jumps, is slewed, or far off",
            "signed by the exchange's time; a jump ends a turn; no request leaves with a stale time",
        ),
        (73, "two starts in one millisecond", "ids and events stay apart"),
        (74, "an expiration that has passed before the next attempt", "withdrawn or refused, never live by mistake"),
        (75, "the monotonic clock begins anew after a boot", "no monotonic time is stored"),
    ),
    "input": (
        (76, "counts and prices that are none", "exit 2 with line and field; nothing recorded, nothing sent"),
        (77, "tickers and ids that are none", "exit 2 with line and field; nothing recorded, nothing sent"),
        (78, "one key with other content, the same at once by many, very many rows", "refused by name, or one batch"),
        (79, "a file of which half is bad; formulas in exports", "all or nothing; a formula is text"),
        (80, "limits: at the edge, one over, by many small ones, with doubts", "none beyond a limit"),
        (
            81,
            "a stop between a commit and a send, or during recovery",
            "nothing leaves after the stop but what had been handed over",
        ),
        (82, "a key, a host or a ledger of another environment", "refused by name before anything is sent"),
        (
            83,
            "a key file that is open to others, missing, encrypted, public, of a wrong kind",
            "exit 4 saying what to do; nothing is sent",
        ),
        (
            84,
            "a mistyped setting, no home, no terminal, another locale, a read-only directory",
            "exit 2 naming it, or it works",
        ),
        (85, "a service's door: tokens, hosts, origins, slow or large bodies", "refused"),
        (
            86,
            "a person edits a row, deletes or restores the ledger, runs two versions",
            "noticed, refused or harmless; nothing twice",
        ),
        (87, "an older program on a newer ledger", "refused by name, unchanged"),
        (88, "an upgrade with unsettled rows of the old version", "each is settled as it would have been"),
        (89, "hostile text from the exchange", "reaches terminal, logs, JSON and CSV harmless"),
        (90, "secrets in logs, ledger, exports, tracebacks, the process list", "nowhere"),
    ),
    "concurrency": (
        (91, "two settle one order at once", "what is known later stands; nothing is overwritten by an older view"),
        (92, "a cancel while the create is under way", "waits for its fate; one truth"),
        (93, "a stream's event before the answer", "the same facts in either order give the same rows"),
        (
            94,
            "the lock lost in the middle of a request, another takes over",
            "the first records nothing more, the second finds what it sent",
        ),
        (95, "a start during another's end, an end during a reconcile", "they take turns; nothing twice, nothing lost"),
        (96, "a thread dies silently", "in doubt; the run ends, and says so"),
    ),
}

# Why a fault, or the rest of it, has no test.
REASONS = {
    38: "a million rows are measured, not tested: docs/performance.md",
    85: "waits for the service: there is no door yet",
    88: "no version has been released yet: the ledger of each is to be kept by tests/lab/keep_ledger.py",
    93: "waits for the stream",
}

FAULTS = tuple(
    Fault(number, theme, name, after, REASONS.get(number, ""))
    for theme, rows in THEMES.items()
    for number, name, after in rows
)
