/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi_relay.c - a thread between the program and the launcher's process manager, with which this library has spoken. */
#include "pmi_relay.h"
#include "base/futex.h"
#include "job/elf.h"
#include "job/pmi.h"
#include "base/proc.h"
#include "base/real.h"
#include "base/symbol.h"
#include "node/plugin.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK (128u * 1024u)
#define LINE 4096
#define FAREWELL_MS 1000
#define NAP_NS 500000l

static const char init_answer[] = "cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n";

/* What the thread does: waits, relays, ends. */
enum gate { GATE_SHUT, GATE_OPEN, GATE_RELEASED };

static struct {
    pid_t owner;  /* the process that has the thread; 0: none */
    int up, down; /* descriptors: to the launcher; to the program, whose end of that pair is PMI_FD */
    int pmi_fd;
    int is_hydra;
    int has_no_thread;      /* the program has the launcher's own connection; `up` is PMI_FD */
    struct mioc_ring *ring; /* of the agent that holds the connection, too; NULL: nobody does */
    ino_t socket;           /* of that connection: the program may close PMI_FD, and open something else */
    pthread_t thread;
    atomic_int is_answer_due; /* the next line from the launcher answers a question of this library */
    atomic_int gate;          /* enum gate; a futex */
    atomic_int has_init;      /* the program speaks PMI, and says "finalize" itself */
    atomic_int is_ending;     /* what the launcher says now answers the relay's "finalize" */
    atomic_int has_ended;     /* that answer is here, or the thread has ended */
} relay;

int mioc_pmi_relay_is_owner(void) { return relay.owner != 0 && relay.owner == getpid(); }

int mioc_pmi_relay_is_possible(const char *path, char *const *env)
{
    const char *preload = mioc_proc_getenv(env, "LD_PRELOAD");

    return preload != NULL && strstr(preload, "libmpiio_cache.so") != NULL && mioc_proc_getenv(env, "PMI_FD") != NULL &&
           (path == NULL || !mioc_elf_is_static(path));
}

/* --- The relay's thread ------------------------------------------------------------------------------------------ */

static int send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Passes on what the program says, but answers its first "init", which the launcher has heard from this library. That
 * "init" comes alone, as a program waits for its answer. 0, or -1: the program has closed its end. */
static int pass_up(char *buf, size_t size)
{
    ssize_t n = recv(relay.down, buf, size, 0);

    if (n <= 0)
        return n < 0 && errno == EINTR ? 0 : -1;
    if (!atomic_load(&relay.has_init) && (size_t)n > 9 && memcmp(buf, "cmd=init ", 9) == 0) {
        atomic_store(&relay.has_init, 1);
        return send_all(relay.down, init_answer, sizeof init_answer - 1);
    }
    return send_all(relay.up, buf, (size_t)n);
}

/* Passes on what the launcher says, but the answers that are not for the program. 0, or -1: one end is closed. */
static int pass_down(char *buf, size_t size)
{
    ssize_t n = recv(relay.up, buf, size, 0);
    char *end;

    if (n <= 0)
        return n < 0 && errno == EINTR ? 0 : -1;
    if (atomic_load(&relay.is_ending)) {
        atomic_store(&relay.has_ended, 1);
        return 0;
    }
    if (!atomic_load(&relay.is_answer_due))
        return send_all(relay.down, buf, (size_t)n);
    end = memchr(buf, '\n', (size_t)n);
    if (end == NULL)
        return 0;
    atomic_store(&relay.is_answer_due, 0);
    return send_all(relay.down, end + 1, (size_t)(buf + n - end - 1));
}

static int is_released(void) { return atomic_load(&relay.gate) == GATE_RELEASED; }

/* Relays until the launcher closes its end, as it does after "finalize"; then the program must see its end closed, too.
 * If the program closes its end (os.closerange), the launcher's stays open for the relay's own "finalize". A release
 * closes the program's end, which wakes the poll; after a release nothing is read any more. */
static void *relay_main(void *unused)
{
    char buf[LINE];
    int is_down_open = 1;

    (void)unused;
    while (atomic_load(&relay.gate) == GATE_SHUT)
        (void)mioc_futex_wait(&relay.gate, GATE_SHUT, MIOC_FUTEX_FOREVER, 1);
    for (;;) {
        struct pollfd ready[2] = { { .fd = relay.up, .events = POLLIN },
                                   { .fd = is_down_open ? relay.down : -1, .events = POLLIN } };

        if (is_released() || (poll(ready, 2, -1) < 0 && errno != EINTR) || is_released())
            break;
        if (ready[1].revents != 0 && pass_up(buf, sizeof buf) != 0)
            is_down_open = 0;
        if (ready[0].revents != 0 && pass_down(buf, sizeof buf) != 0)
            break;
    }
    atomic_store(&relay.has_ended, 1);
    (void)shutdown(relay.down, SHUT_RDWR);
    return NULL;
}

static int start_relay(void) { return mioc_thread_start(&relay.thread, 1, STACK, relay_main, NULL) == 0 ? 0 : -1; }

/* --- The program's side ------------------------------------------------------------------------------------------ */

static void close_raw(int fd)
{
    if (fd >= 0)
        syscall(SYS_close, fd);
}

static int is_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* Low descriptor numbers are the program's, so both descriptors of the relay get high ones. 0 or -1. */
static int take_high(int pair[2], int pmi)
{
    relay.up = mioc_proc_high_fd(pmi);
    relay.down = mioc_proc_high_fd(pair[1]);
    return relay.up >= 0 && relay.down >= 0 && syscall(SYS_dup3, pair[0], pmi, 0) == pmi ? 0 : -1;
}

int mioc_pmi_relay_prepare(char *const *env)
{
    int saved = errno, pmi = mioc_pmi_fd(env), pair[2] = { -1, -1 }, rc = -1;

    if (pmi < 0 || !is_socket(pmi) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        errno = saved;
        return -1;
    }
    relay.pmi_fd = pmi;
    atomic_store(&relay.gate, GATE_SHUT);
    relay.is_hydra = mioc_pmi_is_hydra_task();
    if (take_high(pair, pmi) == 0) {
        rc = start_relay();
        if (rc != 0)
            (void)syscall(SYS_dup3, relay.up, pmi, 0);
    }
    close_raw(pair[0]);
    close_raw(pair[1]);
    if (rc == 0) {
        relay.owner = getpid();
        mioc_plugin_protect_fd(relay.up);
        mioc_plugin_protect_fd(relay.down);
    } else {
        close_raw(relay.up);
        close_raw(relay.down);
    }
    errno = saved;
    return rc;
}

int mioc_pmi_relay_up(void) { return relay.up; }

static void set_gate(enum gate gate)
{
    atomic_store(&relay.gate, gate);
    mioc_futex_wake(&relay.gate, 1, 1);
}

void mioc_pmi_relay_open(int is_answer_due)
{
    atomic_store(&relay.is_answer_due, is_answer_due);
    set_gate(GATE_OPEN);
}

int mioc_pmi_relay_take(char *const *env)
{
    if (mioc_pmi_is_hydra_task() && mioc_pmi_fd(env) >= 0) {
        mioc_pmi_relay_note_spoken(mioc_pmi_fd(env));
        return mioc_pmi_relay_is_owner() ? 0 : -1;
    }
    if (mioc_pmi_relay_prepare(env) != 0)
        return -1;
    mioc_pmi_relay_open(0);
    return 0;
}

void mioc_pmi_relay_release(void)
{
    int saved = errno;

    if (!mioc_pmi_relay_is_owner() || relay.has_no_thread)
        return;
    atomic_store(&relay.gate, GATE_RELEASED);
    (void)syscall(SYS_dup3, relay.up, relay.pmi_fd,
                  0); /* this closes the program's end of the pair, and wakes poll() */
    set_gate(GATE_RELEASED);
    (void)pthread_join(relay.thread, NULL);
    relay.owner = 0;
    mioc_plugin_release_fd(relay.up);
    mioc_plugin_release_fd(relay.down);
    close_raw(relay.up);
    close_raw(relay.down);
    errno = saved;
}

/* --- Without a thread: hydra ------------------------------------------------------------------------------------- */

static ino_t socket_of(int fd)
{
    struct stat st;

    return mioc_real(fstat)(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

void mioc_pmi_relay_note_spoken(int pmi_fd)
{
    relay.up = relay.pmi_fd = pmi_fd;
    relay.is_hydra = relay.has_no_thread = 1;
    relay.socket = socket_of(pmi_fd);
    relay.owner = relay.socket != 0 ? getpid() : 0;
}

/* Whether the program has started its MPI, which speaks with hydra itself, and says "finalize" or fails to. Open MPI
 * does not speak with hydra. */
static int has_started_mpi(void)
{
    for (const struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next) {
        int (*initialized)(int *) = (int (*)(int *))mioc_symbol_find(map, "PMPI_Initialized", NULL);
        int flag = 0;

        if (initialized != NULL && mioc_symbol_find(map, "ompi_mpi_init", NULL) == NULL &&
            (initialized(&flag) != 0 || flag))
            return 1;
    }
    return 0;
}

void mioc_pmi_relay_share(struct mioc_ring *ring) { relay.ring = ring; }

static void await_answer(void)
{
    char answer[256];
    struct pollfd ready = { .fd = relay.up, .events = POLLIN };

    if (poll(&ready, 1, FAREWELL_MS) > 0)
        (void)recv(relay.up, answer, sizeof answer, MSG_DONTWAIT);
}

/* What the program says itself is not said twice. */
static int is_farewell_due(void)
{
    if (!mioc_pmi_relay_is_owner() || !relay.is_hydra)
        return 0;
    if (relay.has_no_thread) {
        int has_started = has_started_mpi(), is_open = socket_of(relay.up) == relay.socket;

        if (relay.ring != NULL && !has_started && !is_open)
            mioc_ring_ask_farewell(relay.ring);
        return is_open && !has_started;
    }
    return !atomic_load(&relay.has_init);
}

/* --- Both -------------------------------------------------------------------------------------------------------- */

void mioc_pmi_relay_end(void)
{
    static const char farewell[] = "cmd=finalize\n";
    int saved = errno;

    if (is_farewell_due() && !atomic_exchange(&relay.is_ending, 1) &&
        send_all(relay.up, farewell, sizeof farewell - 1) == 0) {
        if (relay.has_no_thread)
            await_answer();
        for (long waited = 0; !relay.has_no_thread && waited < FAREWELL_MS * 1000000l && !atomic_load(&relay.has_ended);
             waited += NAP_NS)
            nanosleep(&(struct timespec){ 0, NAP_NS }, NULL);
    }
    errno = saved;
}

void mioc_pmi_relay_give(void)
{
    int saved = errno;

    if (mioc_pmi_relay_is_owner() && !relay.has_no_thread)
        (void)syscall(SYS_dup3, relay.up, relay.pmi_fd, 0);
    errno = saved;
}
