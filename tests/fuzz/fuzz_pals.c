/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_pals.c - application files of any bytes. Promises: what is said of a rank is in the bounds that it is said with;
 * all names are names; a file is either taken or refused with a reason. The input's first bytes are the rank. */
#include "job/hostlist.h"
#include "job/pals.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    struct fuzz_input in = { data, size };
    char path[64], reason[256] = "", *names;
    struct mioc_pals_place place;
    int rank = (int)fuzz_number(&in, 2), rc, on_node;

    if (file < 0) {
        file = memfd_create("pals", 0);
        PROMISE(file >= 0 && fchmod(file, 0600) == 0);
    }
    PROMISE(ftruncate(file, 0) == 0 && pwrite(file, in.at, in.left, 0) == (ssize_t)in.left);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    rc = mioc_pals_place(path, rank, &place, reason, sizeof reason);
    PROMISE((rc == 0) == (reason[0] == '\0'));
    if (rc != 0)
        return 0;
    PROMISE(rank < place.size && place.size <= MIOC_PALS_RANKS_MAX && place.nodes <= MIOC_HOSTS_MAX);
    PROMISE(place.node >= 0 && place.node < place.nodes && place.local_rank >= 0);
    on_node = mioc_pals_count_on_node(path, place.node);
    PROMISE(on_node >= 1 && on_node <= place.size);
    names = malloc((size_t)place.nodes * MIOC_PALS_NAME_SIZE);
    PROMISE(names != NULL);
    if (mioc_pals_names(path, place.nodes, names, reason, sizeof reason) == 0)
        for (int k = 0; k < place.nodes; k++)
            PROMISE(mioc_hostlist_is_name(names + (size_t)k * MIOC_PALS_NAME_SIZE));
    else
        PROMISE(reason[0] != '\0');
    PROMISE(mioc_pals_names(path, place.nodes + 1, names, reason, sizeof reason) == -1);
    free(names);
    return 0;
}
