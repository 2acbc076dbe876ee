/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.c - request slots and doorbell in memory that a node's processes share. */
#include "item.h"
#include "real.h"
#include "ring_internal.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_MAGIC 0x4d494f4352303031ull
#define SLICE_NS 100000000ull
/* An answer that nobody fetched for that long is abandoned. */
#define ABANDONED_NS 1000000000ull

/* A state word is {pid : 32, generation : 24, status : 5, phase : 3}. Each claim has the next generation of its slot. The futex is
 * the lower half. */
enum phase { FREE, CLAIMED, ASKED, TAKEN, DONE, DROPPED };

_Static_assert(MIOC_RING_SLOTS == 256, "a ticket has 8 bits for the slot and 24 for the generation");

static uint64_t word_make(pid_t pid, uint32_t generation, enum phase phase)
{
    return (uint64_t)(uint32_t)pid << 32 | (generation & 0xffffffu) << 8 | phase;
}
static enum phase word_phase(uint64_t word) { return (enum phase)(word & 7u); }
static uint32_t word_generation(uint64_t word) { return (uint32_t)word >> 8; }
static pid_t word_pid(uint64_t word) { return (pid_t)(word >> 32); }
static uint64_t word_with(uint64_t word, enum phase phase, unsigned status)
{
    return (word & ~0xffull) | (uint64_t)(status & 0x1fu) << 3 | phase;
}

static uint64_t load(const struct mioc_ring *ring, uint32_t slot)
{
    return __atomic_load_n(&ring->state[slot], __ATOMIC_ACQUIRE);
}
static int swap(struct mioc_ring *ring, uint32_t slot, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&ring->state[slot], &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The half of a state word that changes with phase and generation. */
static uint32_t *futex_of(struct mioc_ring *ring, uint32_t slot)
{
    return (uint32_t *)(void *)&ring->state[slot] + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

static void futex_wait(uint32_t *at, uint32_t value, uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    syscall(SYS_futex, at, FUTEX_WAIT, value, &time, NULL, 0);
}

static void futex_wake(uint32_t *at)
{
    syscall(SYS_futex, at, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int mioc_ring_is_gone(pid_t pid)
{
    return pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

/* 0 where it cannot be told. */
static uint64_t pid_namespace(void)
{
    struct stat st;

    return mioc_real(stat)("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

size_t mioc_ring_size(void)
{
    return sizeof(struct mioc_ring);
}

void mioc_ring_init(struct mioc_ring *ring, pid_t agent)
{
    int saved = errno;

    memset(ring, 0, sizeof(*ring));
    ring->agent = agent;
    ring->pid_namespace = pid_namespace();
    __atomic_store_n(&ring->magic, RING_MAGIC, __ATOMIC_RELEASE);
    errno = saved;
}

int mioc_ring_check(const struct mioc_ring *ring, size_t size)
{
    int saved = errno;

    if (size != sizeof(*ring) || __atomic_load_n(&ring->magic, __ATOMIC_ACQUIRE) != RING_MAGIC) {
        errno = EPROTO;
        return -1;
    }
    if (ring->pid_namespace != pid_namespace()) {
        errno = EXDEV;
        return -1;
    }
    errno = saved;
    return 0;
}

/* --- Client ------------------------------------------------------------------------------------------------------- */

void mioc_ring_taint(struct mioc_ring *ring)
{
    __atomic_store_n(&ring->is_tainted, 1, __ATOMIC_RELEASE);
}

int mioc_ring_is_tainted(const struct mioc_ring *ring)
{
    return __atomic_load_n(&ring->is_tainted, __ATOMIC_ACQUIRE) != 0;
}

/* How rarely the agent writes into a line that every call reads. */
#define BEAT_MS 50u

static uint64_t coarse_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void mioc_ring_beat(struct mioc_ring *ring)
{
    uint64_t now = coarse_ms(), last = __atomic_load_n(&ring->beat_ms, __ATOMIC_RELAXED);

    if (now - last >= BEAT_MS)
        __atomic_store_n(&ring->beat_ms, now != 0 ? now : 1, __ATOMIC_RELAXED);
}

int mioc_ring_is_silent(const struct mioc_ring *ring, uint64_t ns)
{
    uint64_t last = __atomic_load_n(&ring->beat_ms, __ATOMIC_RELAXED), now = last == 0 ? 0 : coarse_ms();

    return now > last && now - last > ns / 1000000u;
}

int mioc_ring_is_beating(const struct mioc_ring *ring, uint64_t ns)
{
    return __atomic_load_n(&ring->beat_ms, __ATOMIC_RELAXED) != 0 && !mioc_ring_is_silent(ring, ns);
}

void mioc_ring_wake(struct mioc_ring *ring)
{
    int saved = errno;

    /* The agent stores `sleeping` and then loads the doorbell, we the other way round: in the one order of all sequentially
     * consistent operations at least one sees the other, so either it does not sleep or we wake it. */
    __atomic_add_fetch(&ring->doorbell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->sleeping, __ATOMIC_SEQ_CST))
        futex_wake(&ring->doorbell);
    errno = saved;
}

/* Claims a free slot: its word, and *at; or 0. */
static uint64_t claim(struct mioc_ring *ring, pid_t pid, uint32_t *at)
{
    /* Where the stack is differs between threads, and the pid between processes. */
    uint64_t start = ((uintptr_t)&start ^ (uint64_t)(uint32_t)pid << 20) * 0x9e3779b97f4a7c15ull >> 56;

    for (uint32_t i = 0; i < MIOC_RING_SLOTS; i++) {
        uint32_t slot = (uint32_t)(start + i) % MIOC_RING_SLOTS;
        uint64_t word = load(ring, slot), mine = word_make(pid, word_generation(word) + 1, CLAIMED);

        if (word_phase(word) == FREE && swap(ring, slot, word, mine)) {
            *at = slot;
            return mine;
        }
    }
    return 0;
}

/* Gives up waiting; 1, or 0 if the word changed meanwhile. A request that the agent reads right now is the agent's to free. */
static int drop(struct mioc_ring *ring, uint32_t slot, uint64_t word)
{
    enum phase to = word_phase(word) == TAKEN ? DROPPED : FREE;

    return swap(ring, slot, word, word_with(word, to, 0));
}

static enum mioc_ask_status await(struct mioc_ring *ring, uint32_t slot, uint64_t mine, uint64_t deadline,
                                  int (*is_agent_alive)(void *ctx), void *ctx)
{
    uint64_t look = now_ns() + SLICE_NS;

    for (;;) {
        uint64_t word = load(ring, slot), now, until;

        if ((word ^ mine) & ~0xffull)
            return MIOC_ASK_REAL; /* swept away: the agent took us for dead */
        if (word_phase(word) == DONE) {
            swap(ring, slot, word, word_with(word, FREE, 0));
            return (enum mioc_ask_status)(word >> 3 & 0x1fu);
        }
        if (word_phase(word) != ASKED && word_phase(word) != TAKEN)
            return MIOC_ASK_REAL;
        now = now_ns();
        if (now >= deadline) {
            if (drop(ring, slot, word))
                return MIOC_ASK_TIMEOUT;
            continue;
        }
        if (now >= look) {
            if (is_agent_alive && !is_agent_alive(ctx)) {
                if (drop(ring, slot, word))
                    return MIOC_ASK_REAL;
                continue;
            }
            look = now_ns() + SLICE_NS;
        }
        until = look < deadline ? look : deadline;
        if (until > now)
            futex_wait(futex_of(ring, slot), (uint32_t)word, until - now);
    }
}

enum mioc_ask_status mioc_ring_ask(struct mioc_ring *ring, enum mioc_ask what, unsigned kind, const char *path,
                                   uint32_t len, uint64_t deadline_ns, int (*is_agent_alive)(void *ctx), void *ctx)
{
    enum mioc_ask_status status = MIOC_ASK_BUSY;
    int saved = errno;
    uint32_t at;
    uint64_t mine, asked;

    if (len == 0 || len >= MIOC_PATH_MAX)
        return MIOC_ASK_REAL;
    mine = claim(ring, getpid(), &at);
    if (mine != 0) {
        struct mioc_slot *slot = &ring->slot[at];

        slot->what = what;
        slot->kind = kind;
        slot->len = len;
        memcpy(slot->path, path, len);
        slot->path[len] = '\0';
        asked = word_with(mine, ASKED, 0);
        if (swap(ring, at, mine, asked)) {
            mioc_ring_wake(ring);
            status = await(ring, at, asked, deadline_ns, is_agent_alive, ctx);
        }
    }
    errno = saved;
    return status;
}

/* --- Agent -------------------------------------------------------------------------------------------------------- */

/* Copies a TAKEN request out: what stands there may be anything, and may change while it is read. 0 or -1. */
static int copy_request(const struct mioc_slot *slot, struct mioc_ask_request *request)
{
    request->what = (enum mioc_ask)__atomic_load_n(&slot->what, __ATOMIC_RELAXED);
    request->kind = __atomic_load_n(&slot->kind, __ATOMIC_RELAXED);
    request->len = __atomic_load_n(&slot->len, __ATOMIC_RELAXED);
    if (request->len == 0 || request->len >= MIOC_PATH_MAX)
        return -1;
    memcpy(request->path, slot->path, request->len);
    request->path[request->len] = '\0';
    if (request->path[0] != '/' || memchr(request->path, '\0', request->len))
        return -1;
    if (request->what == MIOC_ASK_RECORD)
        return request->kind >= MIOC_ITEM_STAT && request->kind <= MIOC_ITEM_REALPATH ? 0 : -1;
    if (request->what == MIOC_ASK_SETTLE)
        return request->kind == 0 ? 0 : -1;
    return request->what == MIOC_ASK_INVALIDATE && (request->kind & ~(MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY)) == 0 ? 0 : -1;
}

int mioc_ring_take(struct mioc_ring *ring, struct mioc_ask_request *request)
{
    uint32_t start = ring->cursor;

    for (uint32_t i = 0; i < MIOC_RING_SLOTS; i++) {
        uint32_t at = (start + i) % MIOC_RING_SLOTS;
        uint64_t word = load(ring, at);

        if (word_phase(word) == DROPPED)
            swap(ring, at, word, word_with(word, FREE, 0));
        if (word_phase(word) != ASKED || !swap(ring, at, word, word_with(word, TAKEN, 0)))
            continue;
        request->slot = word_generation(word) << 8 | at;
        if (copy_request(&ring->slot[at], request) != 0) {
            mioc_ring_answer(ring, request->slot, MIOC_ASK_REAL);
            continue;
        }
        ring->cursor = at + 1;
        return 1;
    }
    return 0;
}

void mioc_ring_answer(struct mioc_ring *ring, uint32_t ticket, enum mioc_ask_status status)
{
    uint32_t at = ticket % MIOC_RING_SLOTS;
    uint64_t word;
    int saved = errno;

    while (word = load(ring, at), word_generation(word) == ticket >> 8) {
        if (word_phase(word) == TAKEN) {
            if (!swap(ring, at, word, word_with(word, DONE, status)))
                continue;
            futex_wake(futex_of(ring, at));
        } else if (word_phase(word) == DROPPED) {
            swap(ring, at, word, word_with(word, FREE, 0));
        }
        break;
    }
    errno = saved;
}

void mioc_ring_sweep(struct mioc_ring *ring)
{
    uint64_t now = now_ns();
    int saved = errno, is_late = now - ring->swept_ns >= ABANDONED_NS;

    if (is_late)
        ring->swept_ns = now;

    for (uint32_t at = 0; at < MIOC_RING_SLOTS; at++) {
        uint64_t word = load(ring, at);
        enum phase phase = word_phase(word);

        /* A DONE slot of a living process waits for a thread that is stopped, or never comes: the latter must not use slots up, and
         * the former finds another generation and makes the real call. */
        if (phase != FREE && (phase >= DROPPED || mioc_ring_is_gone(word_pid(word)) ||
                              (phase == DONE && is_late && ring->swept[at] == word)))
            swap(ring, at, word, word_with(word, FREE, 0));
        if (is_late)
            ring->swept[at] = word;
    }
    errno = saved;
}

void mioc_ring_sleep(struct mioc_ring *ring, uint64_t timeout_ns)
{
    int saved = errno;

    if (__atomic_load_n(&ring->doorbell, __ATOMIC_ACQUIRE) == ring->seen) {
        __atomic_store_n(&ring->sleeping, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&ring->doorbell, __ATOMIC_SEQ_CST) == ring->seen)
            futex_wait(&ring->doorbell, ring->seen, timeout_ns);
        __atomic_store_n(&ring->sleeping, 0, __ATOMIC_RELAXED);
    }
    ring->seen = __atomic_load_n(&ring->doorbell, __ATOMIC_ACQUIRE);
    errno = saved;
}
