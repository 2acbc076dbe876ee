/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch_range.c - which instructions of ld.so trap: finds ld.so, learns where it makes the calls that matter, and tells the kernel. */
#include "dispatch_range.h"
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__

/* From <linux/prctl.h>, which may be older than the kernel. */
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_EXCLUSIVE_ON 1 /* all but the range traps: Linux 5.11 */
#define PR_SYS_DISPATCH_INCLUSIVE_ON 2 /* the range traps: Linux 6.17 */

struct dispatch_range { unsigned long mode, start, length; };

static struct dispatch_range range; /* written by prepare, before any thread */

static int turn_on(const struct dispatch_range *r)
{
    return (int)syscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, r->mode, r->start, r->length, NULL);
}

static void turn_off(void)
{
    (void)syscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}

/* ld.so says itself where it is. None of its functions would: AddressSanitizer, for one, has a __tls_get_addr of its own. */
static int find_text(struct dl_phdr_info *info, size_t size, void *context)
{
    struct dispatch_range *text = context;

    (void)size;
    if (info->dlpi_addr != _r_debug.r_ldbase)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        text->start = info->dlpi_addr + segment->p_vaddr;
        text->length = segment->p_memsz;
        return 1;
    }
    return 0;
}

static int is_below(unsigned long limit)
{
    return (unsigned long)find_text < limit && (unsigned long)syscall < limit;
}

int mioc_range_prepare(const char **why)
{
    struct dispatch_range text = { PR_SYS_DISPATCH_INCLUSIVE_ON, 0, 0 };
    int saved = errno, rc = -1;

    if (!dl_iterate_phdr(find_text, &text)) {
        *why = "ld.so cannot be found in memory";
        goto done;
    }
    rc = turn_on(&text);
    if (rc != 0 && is_below(text.start)) {
        /* Before Linux 6.17: everything below ld.so, which is where all libraries are, is left alone. */
        text = (struct dispatch_range){ PR_SYS_DISPATCH_EXCLUSIVE_ON, 0, text.start };
        rc = turn_on(&text);
    }
    if (rc != 0) {
        *why = "the kernel has no Syscall User Dispatch for it, or forbids it";
        goto done;
    }
    turn_off();
    range = text;
done:
    errno = saved;
    return rc;
}

/* --- Where the calls are made --------------------------------------------------------------------------------------- */

/* As far as loads have shown it: addresses behind the instructions, of opens alone and of both. They only grow. */
static struct stretch { unsigned long low, high; } opens = { ~0ul, 0 }, looks = { ~0ul, 0 };
/* A bit for each of the two; without both, no library has been loaded yet. */
static unsigned known;

int mioc_range_is_open(long number)
{
    return number == SYS_open || number == SYS_openat;
}

int mioc_range_is_look(long number)
{
    return number == SYS_fstat || number == SYS_newfstatat || number == SYS_stat || number == SYS_lstat;
}

static void widen(struct stretch *s, unsigned long address)
{
    unsigned long low = __atomic_load_n(&s->low, __ATOMIC_RELAXED), high = __atomic_load_n(&s->high, __ATOMIC_RELAXED);

    while (address < low && !__atomic_compare_exchange_n(&s->low, &low, address, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    while (address > high && !__atomic_compare_exchange_n(&s->high, &high, address, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

void mioc_range_learn(long number, unsigned long address)
{
    int is_open = mioc_range_is_open(number);

    if (!is_open && !mioc_range_is_look(number))
        return;
    if (is_open)
        widen(&opens, address);
    widen(&looks, address);
    (void)__atomic_fetch_or(&known, is_open ? 1u : 2u, __ATOMIC_RELEASE);
}

int mioc_range_arm(enum mioc_range *now, enum mioc_range want)
{
    struct dispatch_range r = range;
    const struct stretch *s = want == MIOC_RANGE_OPENS ? &opens : &looks;

    if (r.mode != PR_SYS_DISPATCH_INCLUSIVE_ON || __atomic_load_n(&known, __ATOMIC_ACQUIRE) != 3u)
        want = MIOC_RANGE_ALL;
    if (want == *now)
        return 0;
    if (want != MIOC_RANGE_ALL) {
        r.start = __atomic_load_n(&s->low, __ATOMIC_RELAXED);
        r.length = __atomic_load_n(&s->high, __ATOMIC_RELAXED) - r.start + 1;
    }
    if (turn_on(&r) != 0)
        return -1;
    *now = want;
    return 0;
}

void mioc_range_disarm(enum mioc_range *now)
{
    turn_off();
    *now = MIOC_RANGE_NONE;
}

#else

int mioc_range_prepare(const char **why)
{
    *why = "it is written for x86-64 only";
    return -1;
}

int mioc_range_arm(enum mioc_range *now, enum mioc_range want)
{
    (void)now, (void)want;
    return -1;
}

void mioc_range_disarm(enum mioc_range *now)
{
    (void)now;
}

#endif
