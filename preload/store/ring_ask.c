/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_ask.c - the client's side of the ring: claims a slot, asks, and waits asleep. */
#include "ring_internal.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* How often a waiting client looks whether the agent lives. */
#define SLICE_NS 100000000ull

static const struct lane {
    uint32_t first, slots;
} lanes[] = { { 0, MIOC_RING_READS }, { MIOC_RING_READS, MIOC_RING_SLOTS - MIOC_RING_READS } };

/* Claims a free slot *at of the lane. Returns its state word, or 0: no slot is free. */
static uint64_t claim(struct mioc_ring *ring, const struct lane *lane, uint32_t *at)
{
    pid_t pid = getpid();
    /* Threads differ in their stack's address, processes in their pid: so they start at different slots. */
    uint64_t start = ((uintptr_t)&start ^ (uint64_t)(uint32_t)pid << 20) * 0x9e3779b97f4a7c15ull >> 32;

    for (uint32_t i = 0; i < lane->slots; i++) {
        uint32_t slot = lane->first + (uint32_t)(start + i) % lane->slots;
        uint64_t word = mioc_slot_load(ring, slot);
        uint64_t mine = mioc_word_make(pid, mioc_word_generation(word) + 1, MIOC_SLOT_CLAIMED);

        if (mioc_word_phase(word) == MIOC_SLOT_FREE && mioc_slot_swap(ring, slot, word, mine)) {
            *at = slot;
            return mine;
        }
    }
    return 0;
}

struct patience {
    uint64_t deadline, look; /* when the wait ends; when to look next whether the agent lives */
    int (*is_agent_alive)(void *ctx);
    void *ctx;
};

/* Sleeps for a while, as long as the word has that value. Returns ANSWERED: look again; else: give up. */
static enum mioc_ask_status sleep_on(struct patience *p, uint32_t *word, uint32_t value)
{
    uint64_t now = mioc_clock_ns(), until;

    if (now >= p->deadline)
        return MIOC_ASK_TIMEOUT;
    if (now >= p->look) {
        if (p->is_agent_alive && !p->is_agent_alive(p->ctx))
            return MIOC_ASK_REAL;
        p->look = mioc_clock_ns() + SLICE_NS;
    }
    until = p->look < p->deadline ? p->look : p->deadline;
    if (until > now)
        mioc_ring_futex_wait(word, value, until - now);
    return MIOC_ASK_ANSWERED;
}

static int has_free(const struct mioc_ring *ring, const struct lane *lane)
{
    for (uint32_t i = 0; i < lane->slots; i++)
        if (mioc_word_phase(mioc_slot_load(ring, lane->first + i)) == MIOC_SLOT_FREE)
            return 1;
    return 0;
}

/* Waits until it has claimed a slot. Returns ANSWERED and the slot's state word, or why it gave up. Each slot that
 * comes free wakes one waiter. A waiter sets is_awaited again before it looks, so that the next slot wakes another one.
 * At the end it wakes one more if a slot is free, because several slots may have come free before it ran. If a waiter
 * dies in between, the others lose one slice. */
static enum mioc_ask_status await_slot(struct mioc_ring *ring, const struct lane *lane, struct patience *p,
                                       uint64_t *mine, uint32_t *at)
{
    struct mioc_lane *shared = &ring->lane[lane - lanes];
    enum mioc_ask_status status = MIOC_ASK_ANSWERED;

    *mine = claim(ring, lane, at);
    if (*mine != 0)
        return status;
    while (status == MIOC_ASK_ANSWERED) {
        uint32_t freed = __atomic_load_n(&shared->freed, __ATOMIC_ACQUIRE);

        __atomic_store_n(&shared->is_awaited, 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* of mioc_slot_release() */
        *mine = claim(ring, lane, at);
        if (*mine != 0)
            break;
        status = sleep_on(p, &shared->freed, freed);
    }
    if (has_free(ring, lane))
        mioc_lane_wake(shared);
    return status;
}

/* Gives a slot up. Returns 1, or 0: its state word has changed. The agent itself frees a slot that it has taken. */
static int drop(struct mioc_ring *ring, uint32_t slot, uint64_t word)
{
    if (mioc_word_phase(word) == MIOC_SLOT_TAKEN)
        return mioc_slot_swap(ring, slot, word, mioc_word_with(word, MIOC_SLOT_DROPPED, 0));
    return mioc_slot_release(ring, slot, word);
}

static enum mioc_ask_status await(struct mioc_ring *ring, uint32_t slot, uint64_t mine, struct patience *p)
{
    for (;;) {
        uint64_t word = mioc_slot_load(ring, slot);
        enum mioc_ask_status status;

        if ((word ^ mine) & ~0xffull)
            return MIOC_ASK_REAL; /* swept: the agent took us for dead */
        if (mioc_word_phase(word) == MIOC_SLOT_DONE) {
            mioc_slot_release(ring, slot, word);
            return (enum mioc_ask_status)(word >> 3 & 0x1fu);
        }
        if (mioc_word_phase(word) != MIOC_SLOT_ASKED && mioc_word_phase(word) != MIOC_SLOT_TAKEN)
            return MIOC_ASK_REAL;
        status = sleep_on(p, mioc_slot_futex(ring, slot), (uint32_t)word);
        if (status != MIOC_ASK_ANSWERED && drop(ring, slot, word))
            return status;
    }
}

enum mioc_ask_status mioc_ring_ask(struct mioc_ring *ring, enum mioc_ask what, unsigned kind, const char *path,
                                   uint32_t len, uint64_t deadline_ns, int (*is_agent_alive)(void *ctx), void *ctx)
{
    struct patience patience = { deadline_ns, mioc_clock_ns() + SLICE_NS, is_agent_alive, ctx };
    enum mioc_ask_status status;
    int saved = errno;
    uint32_t at;
    uint64_t mine, asked;

    if (len == 0 || len >= MIOC_PATH_MAX)
        return MIOC_ASK_REAL;
    status = await_slot(ring, &lanes[what != MIOC_ASK_RECORD], &patience, &mine, &at);
    if (status == MIOC_ASK_ANSWERED) {
        struct mioc_slot *slot = &ring->slot[at];

        slot->what = what;
        slot->kind = kind;
        slot->len = len;
        memcpy(slot->path, path, len);
        slot->path[len] = '\0';
        asked = mioc_word_with(mine, MIOC_SLOT_ASKED, 0);
        status = MIOC_ASK_REAL; /* swept, as above */
        if (mioc_slot_swap(ring, at, mine, asked)) {
            mioc_ring_wake(ring);
            status = await(ring, at, asked, &patience);
        }
    }
    errno = saved;
    return status;
}
