/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.c - composes events and appends them to the file of this process. */
#include "trace.h"
#include "base/decimal.h"
#include "base/clock.h"
#include "store/item.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EPOCH_2026 1767225600ull /* seconds after 1970 */
#define PATH_SHOWN 1000u         /* an event shows at most so many bytes of a path */
#define END_TRIES 100
#define CLOCK_TRIES 5

int mioc_trace_state;

static struct {
    int fd, pid;                    /* pid: of the events */
    pid_t owner;                    /* the traced process */
    uint64_t offset;                /* from CLOCK_MONOTONIC to 2026, ns */
    uint64_t max;                   /* bytes of the file */
    uint64_t used, events, dropped; /* atomic */
    int composing;                  /* atomic: how many events are between begin_event() and end_event() */
} trace = { .fd = -1 };

/* 0; or, in a thread with a descriptor table of its own, its descriptor plus one, -1 if it could get none. */
static __thread int own_fd __attribute__((tls_model("initial-exec")));

/* The rest of an event, beside its path, fits in so many bytes. */
#define PATH_ROOM 320u
/* An event under construction. It lies on a stack of the program or of a signal handler, which may be small. */
struct event {
    char text[PATH_SHOWN + PATH_ROOM + 512];
    size_t used;
};

/* --- Text: without stdio, for signal handlers -------------------------------------------------------------------- */

static void put_text(struct event *e, const char *text)
{
    size_t len = strlen(text);

    if (len < sizeof e->text - e->used) {
        memcpy(e->text + e->used, text, len);
        e->used += len;
    }
}

static void put_number(struct event *e, uint64_t n)
{
    char digits[MIOC_DECIMAL_MAX];

    (void)mioc_decimal(digits, n);
    put_text(e, digits);
}

/* Nanoseconds as microseconds with three decimals. */
static void put_time(struct event *e, const char *name, uint64_t ns)
{
    char decimals[5] = ".000";

    put_text(e, name);
    put_number(e, ns / 1000);
    decimals[1] = (char)('0' + ns / 100 % 10);
    decimals[2] = (char)('0' + ns / 10 % 10);
    decimals[3] = (char)('0' + ns % 10);
    put_text(e, decimals);
}

/* A path consists of bytes, JSON of characters. Bytes beyond ASCII become the characters of Latin-1, so that none is
 * lost. */
static void put_path(struct event *e, const char *path, uint32_t len)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t i;

    put_text(e, "\"");
    for (i = 0; i < len && i < PATH_SHOWN && e->used < sizeof e->text - PATH_ROOM; i++) {
        unsigned char c = (unsigned char)path[i];
        char escaped[7] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15], '\0' };
        char plain[2] = { (char)c, '\0' };

        put_text(e, c < 0x20 || c >= 0x7f || c == '"' || c == '\\' ? escaped : plain);
    }
    put_text(e, i < len ? "...\"" : "\"");
}

uint64_t mioc_trace_now(void) { return mioc_trace_is_on() ? mioc_clock_ns() : 0; }

/* --- Events ------------------------------------------------------------------------------------------------------ */

static void put_head(struct event *e, const char *phase, const char *cat, const char *name)
{
    e->used = 0;
    put_text(e, ",\n{\"ph\":\"");
    put_text(e, phase);
    put_text(e, "\",\"cat\":\"");
    put_text(e, cat);
    put_text(e, "\",\"name\":\"");
    put_text(e, name);
    put_text(e, "\",\"pid\":");
    put_number(e, (uint64_t)trace.pid);
    put_text(e, ",\"tid\":");
    put_number(e, (uint64_t)syscall(SYS_gettid));
}

/* Whether the file may grow to `end` bytes. Past the program's own limit a write would send it SIGXFSZ. */
static int has_room(uint64_t end)
{
    struct rlimit limit;

    return end <= trace.max && (syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) != 0 || end <= limit.rlim_cur);
}

static void write_event(const struct event *e)
{
    ssize_t n = -1;

    if (has_room(__atomic_fetch_add(&trace.used, e->used, __ATOMIC_RELAXED) + e->used))
        do
            n = syscall(SYS_write, own_fd != 0 ? own_fd - 1 : trace.fd, e->text, e->used);
        while (n < 0 && errno == EINTR);
    if (n == (ssize_t)e->used) {
        (void)__atomic_fetch_add(&trace.events, 1, __ATOMIC_RELAXED);
        return;
    }
    (void)__atomic_fetch_add(&trace.dropped, 1, __ATOMIC_RELAXED);
    /* Half an event: no reader could read what follows. */
    if (n > 0)
        __atomic_store_n(&mioc_trace_state, 0, __ATOMIC_RELAXED);
}

/* Whether an event may be composed: this process is traced, and is no child of vfork. If so, end_event() follows. */
static int begin_event(void)
{
    if (!mioc_trace_is_on() || syscall(SYS_getpid) != trace.owner)
        return 0;
    (void)__atomic_add_fetch(&trace.composing, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&mioc_trace_state, __ATOMIC_SEQ_CST))
        return 1;
    (void)__atomic_sub_fetch(&trace.composing, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void end_event(int saved)
{
    (void)__atomic_sub_fetch(&trace.composing, 1, __ATOMIC_SEQ_CST);
    errno = saved;
}

void mioc_trace_call(enum mioc_call call, enum mioc_outcome outcome, const char *path, int error, uint64_t bytes,
                     uint64_t started)
{
    static const char *const answers[MIOC_OUTCOMES] = {
        [MIOC_HIT] = "hit", [MIOC_MISS] = "miss", [MIOC_PASS] = "passed", [MIOC_TIMEOUT] = "timeout"
    };
    uint64_t now = mioc_clock_ns();
    int saved = errno;
    struct event e;

    if (!begin_event())
        return;
    put_head(&e, "X", "call", mioc_call_names[call]);
    put_time(&e, ",\"ts\":", started + trace.offset);
    put_time(&e, ",\"dur\":", now - started);
    put_text(&e, ",\"args\":{\"path\":");
    path = error == EFAULT || mioc_path_is_nowhere(path) ? "" : path;
    put_path(&e, path, (uint32_t)strnlen(path, PATH_MAX));
    put_text(&e, ",\"answer\":\"");
    put_text(&e, answers[outcome]);
    put_text(&e, "\",\"errno\":");
    put_number(&e, (uint64_t)(unsigned)error);
    put_text(&e, ",\"bytes\":");
    put_number(&e, bytes);
    put_text(&e, "}}");
    write_event(&e);
    end_event(saved);
}

static const char *kind_name(unsigned kind)
{
    static const char *const names[MIOC_ITEM_KINDS] = { [MIOC_ITEM_STAT] = "stat",
                                                        [MIOC_ITEM_LIST] = "list",
                                                        [MIOC_ITEM_CONTENT] = "content",
                                                        [MIOC_ITEM_ACCESS] = "access",
                                                        [MIOC_ITEM_REALPATH] = "realpath",
                                                        [MIOC_ITEM_CHUNK] = "chunk",
                                                        [MIOC_ITEM_INVALIDATE] = "invalidate" };

    return kind < MIOC_ITEM_KINDS && names[kind] != NULL ? names[kind] : "";
}

void mioc_trace_work(const char *cat, const char *name, unsigned kind, const char *path, uint32_t len, uint64_t started)
{
    uint64_t now = mioc_clock_ns();
    int saved = errno;
    struct event e;

    if (!begin_event())
        return;
    put_head(&e, "X", cat, name);
    put_time(&e, ",\"ts\":", started + trace.offset);
    put_time(&e, ",\"dur\":", now - started);
    put_text(&e, ",\"args\":{\"kind\":\"");
    put_text(&e, kind_name(kind));
    put_text(&e, "\",\"path\":");
    put_path(&e, path, len);
    put_text(&e, "}}");
    write_event(&e);
    end_event(saved);
}

void mioc_trace_flow(char phase, unsigned kind, const char *path, uint32_t len)
{
    char phases[2] = { phase, '\0' };
    int saved = errno;
    struct event e;

    if (!begin_event())
        return;
    put_head(&e, phases, "question", kind_name(kind));
    put_time(&e, ",\"ts\":", mioc_clock_ns() + trace.offset);
    /* A number in JSON has 53 bits. */
    put_text(&e, ",\"id\":");
    put_number(&e, mioc_item_hash(kind, path, len) >> 11);
    put_text(&e, phase == 'f' ? ",\"bp\":\"e\"}" : "}");
    write_event(&e);
    end_event(saved);
}

void mioc_trace_name_thread(const char *name)
{
    int saved = errno;
    struct event e;

    if (!begin_event())
        return;
    put_head(&e, "M", "__metadata", "thread_name");
    put_text(&e, ",\"args\":{\"name\":\"");
    put_text(&e, name);
    put_text(&e, "\"}}");
    write_event(&e);
    end_event(saved);
}

/* --- Start and end ----------------------------------------------------------------------------------------------- */

/* Whether a list like "0,4-7", or "all", contains a rank. */
static int is_wanted(const char *ranks, int rank)
{
    if (strcmp(ranks, "all") == 0)
        return 1;
    while (*ranks != '\0') {
        int first = 0, last;

        for (; *ranks >= '0' && *ranks <= '9'; ranks++)
            first = first * 10 + *ranks - '0';
        last = first;
        if (*ranks == '-')
            for (last = 0, ranks++; *ranks >= '0' && *ranks <= '9'; ranks++)
                last = last * 10 + *ranks - '0';
        if (first <= rank && rank <= last)
            return 1;
        ranks += *ranks == ',';
    }
    return 0;
}

static int is_traced(const char *ranks, enum mioc_trace_of of, int number)
{
    return of == MIOC_TRACE_NODE && number != 0 ? strcmp(ranks, "all") == 0 : is_wanted(ranks, number);
}

/* From CLOCK_MONOTONIC to 2026. Two processes of a node must agree, or a flow between their files goes back in time. So
 * the two clocks are read again where something came between. */
static uint64_t find_offset(void)
{
    uint64_t least = UINT64_MAX, offset = 0;

    for (int i = 0; i < CLOCK_TRIES; i++) {
        uint64_t before = mioc_clock_ns(), real = mioc_clock_real_ns(), took = mioc_clock_ns() - before;

        if (took < least) {
            least = took;
            offset = real - EPOCH_2026 * MIOC_NS_PER_S - (before + took / 2);
        }
    }
    return offset;
}

static void stop_in_child(void) { __atomic_store_n(&mioc_trace_state, 0, __ATOMIC_RELAXED); }

static void name_process(enum mioc_trace_of of, int number)
{
    char host[HOST_NAME_MAX + 1] = "", opening[512];
    struct event e;
    int n;

    (void)gethostname(host, sizeof host - 1);
    n = snprintf(opening, sizeof opening,
                 "[\n{\"ph\":\"M\",\"cat\":\"__metadata\",\"name\":\"process_name\",\"pid\":%d,\"tid\":%d,"
                 "\"args\":{\"name\":\"%s %d (",
                 trace.pid, (int)trace.owner, of == MIOC_TRACE_NODE ? "agent of node" : "rank", number);
    e.used = 0;
    memcpy(e.text, opening, (size_t)n);
    e.used = (size_t)n;
    for (char *c = host; *c != '\0'; c++)
        if (*c < 0x20 || *c == '"' || *c == '\\')
            *c = '?';
    put_text(&e, host);
    put_text(&e, ", process ");
    put_number(&e, (uint64_t)trace.owner);
    put_text(&e, ")\"}}");
    write_event(&e);
    if (of == MIOC_TRACE_RANK)
        mioc_trace_name_thread("main");
}

int mioc_trace_start(const struct mioc_config *config, enum mioc_trace_of of, int number)
{
    const char *job;
    int saved = errno;

    if (config->trace[0] == '\0' || !is_traced(config->trace_ranks, of, number))
        return -1;
    job = mioc_proc_getenv(environ, "SLURM_JOB_ID");
    trace.pid = of == MIOC_TRACE_NODE ? MIOC_TRACE_NODE_PID + number : number;
    trace.owner = getpid();
    trace.max = config->trace_max;
    trace.offset = find_offset();
    trace.fd = mioc_trace_create(config->trace, of, number, job != NULL ? job : "hydra");
    if (trace.fd < 0) {
        int speaks = of == MIOC_TRACE_RANK && (number == 0 || !is_wanted(config->trace_ranks, 0));

        mioc_log(speaks ? MIOC_LOG_WARN : MIOC_LOG_INFO,
                 "cannot write a trace below MPIIO_CACHE_TRACE=%s: %s; running without. Name a folder that can be made "
                 "or written on every node",
                 config->trace, strerror(errno));
    } else {
        (void)pthread_atfork(NULL, NULL, stop_in_child);
        __atomic_store_n(&mioc_trace_state, 1, __ATOMIC_RELAXED);
        name_process(of, number);
    }
    errno = saved;
    return trace.fd;
}

void mioc_trace_reopen(void)
{
    int saved = errno, fd;

    if (!begin_event())
        return;
    fd = mioc_trace_reopen_file(trace.fd);
    own_fd = fd >= 0 ? fd + 1 : -1;
    end_event(saved);
}

/* Waits for events under way, but not for ever: a handler may have left an event by longjmp, or this may be a handler
 * that interrupts one. */
static void wait_for_events(void)
{
    for (int i = 0; i < END_TRIES && __atomic_load_n(&trace.composing, __ATOMIC_SEQ_CST) > 0; i++)
        (void)nanosleep(&(struct timespec){ 0, MIOC_NS_PER_MS }, NULL);
}

void mioc_trace_end(void)
{
    int saved = errno;
    struct event e;

    if (!begin_event())
        return;
    __atomic_store_n(&mioc_trace_state, 0, __ATOMIC_SEQ_CST);
    end_event(saved);
    wait_for_events();
    put_head(&e, "M", "__metadata", "mpiio_cache_end");
    put_text(&e, ",\"args\":{\"events\":");
    put_number(&e, __atomic_load_n(&trace.events, __ATOMIC_RELAXED));
    put_text(&e, ",\"dropped\":");
    put_number(&e, __atomic_load_n(&trace.dropped, __ATOMIC_RELAXED));
    put_text(&e, ",\"bytes\":");
    put_number(&e, __atomic_load_n(&trace.used, __ATOMIC_RELAXED));
    put_text(&e, "}}\n]\n");
    trace.max = UINT64_MAX;
    write_event(&e);
    errno = saved;
}
