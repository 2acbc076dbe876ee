/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.c - request slots and doorbell in shared memory: the agent's side, and what both sides use. */
#include "item.h"
#include "base/futex.h"
#include "base/clock.h"
#include "base/real.h"
#include "ring_internal.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_MAGIC 0x4d494f4352303032ull
/* An answer is abandoned if nobody fetched it for so long. */
#define ABANDONED_NS 1000000000ull

/* --- What both sides use ----------------------------------------------------------------------------------------- */

void mioc_ring_futex_wait(uint32_t *at, uint32_t value, uint64_t ns) { (void)mioc_futex_wait(at, value, ns, 0); }

void mioc_lane_wake(struct mioc_lane *lane)
{
    if (!__atomic_load_n(&lane->is_awaited, __ATOMIC_RELAXED) ||
        !__atomic_exchange_n(&lane->is_awaited, 0, __ATOMIC_SEQ_CST))
        return;
    __atomic_add_fetch(&lane->freed, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&lane->freed, 1, 0);
}

int mioc_slot_release(struct mioc_ring *ring, uint32_t slot, uint64_t word)
{
    if (!mioc_slot_swap(ring, slot, word, mioc_word_with(word, MIOC_SLOT_FREE, 0)))
        return 0;
    /* A waiter stores is_awaited and then looks at the slots. We do the same in reverse
     * order, as in mioc_ring_wake(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    mioc_lane_wake(&ring->lane[slot >= MIOC_RING_READS]);
    return 1;
}

int mioc_ring_is_gone(pid_t pid) { return pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH); }

/* Returns the number of the PID namespace, or 0 if that cannot be told. */
static uint64_t pid_namespace(void)
{
    struct stat st;

    return mioc_real(stat)("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

size_t mioc_ring_size(void) { return sizeof(struct mioc_ring); }

void mioc_ring_init(struct mioc_ring *ring, pid_t agent)
{
    int saved = errno;

    ring->agent = agent;
    ring->pid_namespace = pid_namespace();
    ring->lease_ms = UINT64_MAX;
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

/* --- Signs of life ----------------------------------------------------------------------------------------------- */

void mioc_ring_taint(struct mioc_ring *ring) { __atomic_store_n(&ring->is_tainted, 1, __ATOMIC_RELEASE); }

int mioc_ring_is_tainted(const struct mioc_ring *ring)
{
    return __atomic_load_n(&ring->is_tainted, __ATOMIC_ACQUIRE) != 0;
}

/* The agent writes a beat only so often, as every call reads that cache line. */
#define BEAT_MS 50u

void mioc_ring_beat(struct mioc_ring *ring)
{
    uint64_t now = mioc_clock_coarse_ms(), last = __atomic_load_n(&ring->beat_ms, __ATOMIC_RELAXED);

    if (now - last >= BEAT_MS)
        __atomic_store_n(&ring->beat_ms, now != 0 ? now : 1, __ATOMIC_RELAXED);
}

void mioc_ring_set_lease(struct mioc_ring *ring, uint64_t until)
{
    uint64_t ms = until == UINT64_MAX ? until : until / 1000000u;

    if (__atomic_load_n(&ring->lease_ms, __ATOMIC_RELAXED) != ms)
        __atomic_store_n(&ring->lease_ms, ms, __ATOMIC_RELEASE);
}

int mioc_ring_is_leased(const struct mioc_ring *ring)
{
    uint64_t until = __atomic_load_n(&ring->lease_ms, __ATOMIC_ACQUIRE);

    return until == UINT64_MAX || mioc_clock_coarse_ms() < until;
}

int mioc_ring_is_silent(const struct mioc_ring *ring, uint64_t ns)
{
    uint64_t last = __atomic_load_n(&ring->beat_ms, __ATOMIC_RELAXED), now = last == 0 ? 0 : mioc_clock_coarse_ms();

    return now > last && now - last > ns / 1000000u;
}

int mioc_ring_is_beating(const struct mioc_ring *ring, uint64_t ns)
{
    return __atomic_load_n(&ring->beat_ms, __ATOMIC_RELAXED) != 0 && !mioc_ring_is_silent(ring, ns);
}

void mioc_ring_wake(struct mioc_ring *ring)
{
    int saved = errno;

    /* The agent stores `sleeping` and then loads the doorbell; we do the same in reverse order. Sequentially consistent
     * operations have one order, in which at least one side sees the other: the agent does not sleep, or we wake it. */
    __atomic_add_fetch(&ring->doorbell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->sleeping, __ATOMIC_SEQ_CST))
        mioc_futex_wake(&ring->doorbell, INT_MAX, 0);
    errno = saved;
}

/* --- Agent ------------------------------------------------------------------------------------------------------- */

/* Copies a taken request out. It may be anything, and may change while it is read. Returns 0, or
 * -1: it is malformed. */
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
    if (request->what == MIOC_ASK_SYNC)
        return request->kind == 0 ? 0 : -1;
    return request->what == MIOC_ASK_INVALIDATE && (request->kind & ~(MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY)) == 0 ? 0
                                                                                                                  : -1;
}

int mioc_ring_take(struct mioc_ring *ring, struct mioc_ask_request *request)
{
    uint32_t start = ring->cursor;

    for (uint32_t i = 0; i < MIOC_RING_SLOTS; i++) {
        uint32_t at = (start + i) % MIOC_RING_SLOTS;
        uint64_t word = mioc_slot_load(ring, at);

        if (mioc_word_phase(word) == MIOC_SLOT_DROPPED)
            mioc_slot_release(ring, at, word);
        if (mioc_word_phase(word) != MIOC_SLOT_ASKED ||
            !mioc_slot_swap(ring, at, word, mioc_word_with(word, MIOC_SLOT_TAKEN, 0)))
            continue;
        request->slot = mioc_word_generation(word) << 8 | at;
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

    while (word = mioc_slot_load(ring, at), mioc_word_generation(word) == ticket >> 8) {
        if (mioc_word_phase(word) == MIOC_SLOT_TAKEN) {
            if (!mioc_slot_swap(ring, at, word, mioc_word_with(word, MIOC_SLOT_DONE, status)))
                continue;
            mioc_futex_wake(mioc_slot_futex(ring, at), INT_MAX, 0);
        } else if (mioc_word_phase(word) == MIOC_SLOT_DROPPED) {
            mioc_slot_release(ring, at, word);
        }
        break;
    }
    errno = saved;
}

void mioc_ring_sweep(struct mioc_ring *ring)
{
    uint64_t now = mioc_clock_ns();
    int saved = errno, is_late = now - ring->swept_ns >= ABANDONED_NS;

    if (is_late)
        ring->swept_ns = now;

    for (uint32_t at = 0; at < MIOC_RING_SLOTS; at++) {
        uint64_t word = mioc_slot_load(ring, at);
        enum mioc_slot_phase phase = mioc_word_phase(word);

        /* A DONE slot of a living process waits for a thread that is stopped, or that was cancelled and never comes.
         * The slot is freed in both cases: a stopped thread then finds another generation, and makes the real call. */
        if (phase != MIOC_SLOT_FREE && (phase >= MIOC_SLOT_DROPPED || mioc_ring_is_gone(mioc_word_pid(word)) ||
                                        (phase == MIOC_SLOT_DONE && is_late && ring->swept[at] == word)))
            mioc_slot_release(ring, at, word);
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
            mioc_ring_futex_wait(&ring->doorbell, ring->seen, timeout_ns);
        __atomic_store_n(&ring->sleeping, 0, __ATOMIC_RELAXED);
    }
    ring->seen = __atomic_load_n(&ring->doorbell, __ATOMIC_ACQUIRE);
    errno = saved;
}
