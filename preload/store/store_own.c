/* SPDX-License-Identifier: BSD-3-Clause */
/* store_own.c - which stores this process made. */
#include "store_internal.h"

#include <unistd.h>

/* A list: creating pushes, detaching removes, any thread reads. */
static struct mioc_store *own_stores;

int mioc_store_is_own(const char *name)
{
    pid_t pid = getpid();

    for (struct mioc_store *s = __atomic_load_n(&own_stores, __ATOMIC_ACQUIRE); s; s = s->next_own)
        if (s->pid == pid && strcmp(strrchr(s->path, '/') + 1, name) == 0)
            return 1;
    return 0;
}

void mioc_store_disown(struct mioc_store *s)
{
    for (struct mioc_store **link = &own_stores; *link; link = &(*link)->next_own)
        if (*link == s) {
            __atomic_store_n(link, s->next_own, __ATOMIC_RELEASE);
            return;
        }
}

void mioc_store_own(struct mioc_store *s)
{
    s->next_own = __atomic_load_n(&own_stores, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(&own_stores, &s->next_own, s, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}
