/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_ring.c - a ring that guests write anything into, at any moment between the agent's and the clients' steps.
 * Promises: what the agent takes is bounded and well-formed; nobody waits for ever; nothing outside of the ring is
 * touched; every step ends. */
#include "store/item.h"
#include "store/ring_internal.h"
#include "fuzz.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct mioc_ring *ring;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void start(void)
{
    size_t pages = (mioc_ring_size() + 4095) / 4096 * 4096;
    char *around = mmap(NULL, pages + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    PROMISE(around != MAP_FAILED && mprotect(around + 4096, pages, PROT_READ | PROT_WRITE) == 0);
    ring = (void *)(around + 4096 + (pages - mioc_ring_size()) / 64 * 64);
}

static void scribble(struct fuzz_input *in)
{
    uint64_t value;
    unsigned slot = fuzz_byte(in);

    switch (fuzz_byte(in) % 6) {
    case 0: /* a state word: pid, generation, status, phase */
        ring->state[slot % 4] = (fuzz_byte(in) % 2 ? (uint64_t)(uint32_t)getpid() : fuzz_number(in, 4)) << 32 |
                                (fuzz_byte(in) % 4u) << 8 | fuzz_byte(in);
        break;
    case 1: { /* a request */
        struct mioc_slot *s = &ring->slot[slot % 4];
        const uint8_t *bytes;
        size_t n = fuzz_bytes(in, fuzz_byte(in), &bytes);

        s->what = fuzz_byte(in) % 4;
        s->kind = fuzz_byte(in) < 200 ? fuzz_byte(in) % 8 : (uint32_t)fuzz_number(in, 4);
        s->len = fuzz_byte(in) < 200 ? (uint32_t)n : (uint32_t)fuzz_odd_number(in, MIOC_PATH_MAX);
        memcpy(s->path, bytes, n);
        break;
    }
    case 2: { /* a process */
        struct mioc_process *p = &ring->process[slot % 4];

        p->id = fuzz_byte(in) % 4 ? (uint64_t)(uint32_t)getpid() << 32 | (uint32_t)fuzz_odd_number(in, 0)
                                  : fuzz_number(in, 8);
        p->ended = (uint32_t)fuzz_number(in, 4);
        p->stats.row[slot % MIOC_CALLS].ns = fuzz_odd_number(in, UINT64_MAX);
        break;
    }
    case 3: /* the agent's own */
        ring->cursor = (uint32_t)fuzz_odd_number(in, MIOC_RING_SLOTS);
        ring->seen = (uint32_t)fuzz_number(in, 4);
        ring->sleeping = (uint32_t)fuzz_number(in, 4);
        ring->doorbell = (uint32_t)fuzz_odd_number(in, ring->seen);
        ring->swept_ns = fuzz_odd_number(in, now_ns());
        break;
    default: /* anywhere */
        value = fuzz_odd_number(in, 256);
        memcpy((char *)ring + fuzz_number(in, 3) % (mioc_ring_size() - 8), &value, fuzz_byte(in) % 8 + 1);
        break;
    }
}

static void look_at(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats)
{
    (void)pid;
    mioc_report_add(ctx, stats, rank >= 0);
}

static int is_dead(void *ctx)
{
    (void)ctx;
    return 0;
}

static void step(struct fuzz_input *in)
{
    static struct mioc_ask_request request;
    static struct mioc_report report;
    static uint32_t ticket[8];
    unsigned choice = fuzz_byte(in);

    switch (choice % 10) {
    case 0:
    case 1:
        if (mioc_ring_take(ring, &request)) {
            PROMISE(request.len > 0 && request.len < MIOC_PATH_MAX && request.path[0] == '/' &&
                    strlen(request.path) == request.len);
            PROMISE(request.what == MIOC_ASK_RECORD
                        ? request.kind >= MIOC_ITEM_STAT && request.kind <= MIOC_ITEM_REALPATH
                        : request.what == MIOC_ASK_INVALIDATE &&
                              (request.kind & ~(MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY)) == 0);
            ticket[choice / 10 % 8] = request.slot;
        }
        break;
    case 2:
        mioc_ring_answer(ring, fuzz_byte(in) % 2 ? ticket[fuzz_byte(in) % 8] : (uint32_t)fuzz_number(in, 4),
                         fuzz_byte(in));
        break;
    case 3: mioc_ring_sweep(ring); break;
    case 4: {
        uint64_t before = now_ns();
        unsigned status = mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, "/a/b", 4, before, is_dead, NULL);

        PROMISE(status <= 31);
        break;
    }
    case 5: mioc_ring_sleep(ring, 1); break;
    case 6:
        mioc_ring_stats_visit(ring, look_at, &report);
        PROMISE(mioc_ring_ranks_running(ring, 1) <= MIOC_RING_PROCESSES);
        break;
    case 7:
        (void)mioc_ring_stats_claim(ring, 1 + fuzz_byte(in), (int)fuzz_byte(in) - 1);
        mioc_ring_process_ends(ring, 1 + fuzz_byte(in));
        break;
    default: scribble(in); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };

    if (ring == NULL)
        start();
    memset(ring, 0, mioc_ring_size());
    mioc_ring_init(ring, getpid());
    for (unsigned i = 0; in.left > 0 && i < 500; i++)
        step(&in);
    return 0;
}
