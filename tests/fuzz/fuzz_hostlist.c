/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_hostlist.c - host lists of any bytes. Promises: a list that counts n hosts has names for 0 to n - 1 and no more;
 * each is a name, fits its buffer, and is a list of itself; nothing is written behind a buffer. */
#include "job/hostlist.h"
#include "fuzz.h"

/* How many names of a long list are looked at. */
#define LOOKS 64

static void check_name(const char *list, int k)
{
    char name[MIOC_HOST_NAME_MAX + 2], again[MIOC_HOST_NAME_MAX + 2];
    size_t len;

    memset(name, 'x', sizeof name);
    PROMISE(mioc_hostlist_name(list, k, name, MIOC_HOST_NAME_MAX + 1) == 0);
    PROMISE(name[MIOC_HOST_NAME_MAX + 1] == 'x');
    PROMISE(mioc_hostlist_is_name(name));
    len = strlen(name);
    PROMISE(mioc_hostlist_count(name) == 1 && mioc_hostlist_name(name, 0, again, sizeof again) == 0 &&
            strcmp(name, again) == 0);
    memset(again, 'x', sizeof again);
    PROMISE(mioc_hostlist_name(list, k, again, len) == -1 && again[len] == 'x');
    PROMISE(mioc_hostlist_name(list, k, again, len + 1) == 0 && strcmp(name, again) == 0 && again[len + 1] == 'x');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *list = malloc(size + 1), name[MIOC_HOST_NAME_MAX + 1];
    int count;

    PROMISE(list != NULL);
    memcpy(list, data, size);
    list[size] = '\0';
    count = mioc_hostlist_count(list);
    PROMISE(count == -1 || (count >= 1 && count <= MIOC_HOSTS_MAX));
    for (int k = 0; k < count; k += 1 + count / LOOKS)
        check_name(list, k);
    if (count > 0) {
        check_name(list, count - 1);
        PROMISE(mioc_hostlist_name(list, count, name, sizeof name) == -1);
    }
    free(list);
    return 0;
}
