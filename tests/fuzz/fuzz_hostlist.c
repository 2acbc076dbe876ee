/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_hostlist.c - host lists of any bytes. Promises: a list that counts n hosts has names for 0 to n - 1 and no more;
 * each is a name, fits its buffer, and is a list of itself; nothing is written behind a buffer. What people write
 * becomes such a list, in which each host is found where it stands; or there is a reason. */
#include "job/hostlist.h"
#include "job/hosts.h"
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

static void check_people(const char *list)
{
    char name[MIOC_HOST_NAME_MAX + 1], reason[256] = "";
    struct mioc_hosts hosts;

    if (list[0] == '/') /* a file */
        return;
    if (mioc_hosts_read(&hosts, list, "THIS", reason, sizeof reason) != 0) {
        PROMISE(hosts.names == NULL && strnlen(reason, sizeof reason) > 0 && strlen(reason) < sizeof reason);
        return;
    }
    PROMISE(hosts.count == mioc_hostlist_count(hosts.names) && hosts.uses[0] >= 1);
    for (int k = 0; k < hosts.count; k += 1 + hosts.count / LOOKS)
        PROMISE(mioc_hostlist_name(hosts.names, k, name, sizeof name) == 0 && mioc_hosts_find(&hosts, name) == k);
    mioc_hosts_free(&hosts);
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
    check_people(list);
    free(list);
    return 0;
}
