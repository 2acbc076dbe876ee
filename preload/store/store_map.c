/* SPDX-License-Identifier: BSD-3-Clause */
/* store_map.c - maps the index as far as it is in use, because a program may lock its memory (mlockall).
 *
 * The index is a sparse file of some 256 MiB, of which an import uses a few. In locked memory the kernel makes every
 * page of a mapping, also for holes. So the first mapping is small. When the stream outgrows the last mapping, another
 * one of twice the length is made beside it. No mapping goes while the store is attached: pointers into the arena stay
 * valid. */
#include "store_internal.h"
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void use(struct mioc_store *s, char *map, uint64_t size)
{
    s->map[s->maps].at = map;
    s->map[s->maps++].size = size;
    (void)madvise(map, size, MADV_DONTDUMP); /* the program's core files need no store */
    /* In this order, whoever sees the new length sees the new arena. */
    __atomic_store_n(&s->arena, map + MIOC_INDEX_ARENA_AT, __ATOMIC_RELAXED);
    __atomic_store_n(&s->mapped, size - MIOC_INDEX_ARENA_AT, __ATOMIC_RELEASE);
}

int mioc_store_map_index(struct mioc_store *s, int fd, int is_writer)
{
    uint64_t size = s->index_size < MIOC_INDEX_FIRST_MAP ? s->index_size : MIOC_INDEX_FIRST_MAP;
    char *map;

    if (size <= MIOC_INDEX_ARENA_AT) {
        errno = EPROTO;
        return -1;
    }
    map = mmap(NULL, size, is_writer ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    s->index = (void *)map;
    s->table = (void *)(map + MIOC_INDEX_TABLE_AT);
    use(s, map, size);
    return 0;
}

void mioc_store_unmap_index(struct mioc_store *s)
{
    for (unsigned i = 0; i < s->maps; i++)
        munmap(s->map[i].at, s->map[i].size);
}

char *mioc_store_map_more(struct mioc_store *s, uint64_t end, int is_patient)
{
    int saved = errno;
    uint64_t size;
    char *map;

    while (__atomic_exchange_n(&s->is_mapping, 1, __ATOMIC_ACQUIRE)) {
        if (!is_patient)
            return NULL;
        (void)sched_yield();
    }
    if (end > s->mapped && s->maps < MIOC_INDEX_MAPS && end <= s->index_size - MIOC_INDEX_ARENA_AT) {
        for (size = s->mapped + MIOC_INDEX_ARENA_AT; size < end + MIOC_INDEX_ARENA_AT;)
            size *= 2;
        size = size < s->index_size ? size : s->index_size;
        /* Old length 0: maps the same file once more, without a descriptor. */
        map = (char *)syscall(SYS_mremap, s->index, 0, size, MREMAP_MAYMOVE, 0);
        if (map != MAP_FAILED)
            use(s, map, size);
    }
    map = end <= s->mapped ? s->arena : NULL;
    __atomic_store_n(&s->is_mapping, 0, __ATOMIC_RELEASE);
    errno = saved;
    return map;
}
