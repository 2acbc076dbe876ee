/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous_terms.c - what both steps of the rendezvous say: this library's layout, and a time for people. */
#include "rendezvous.h"
#include "agent/wire.h"
#include "base/hash.h"
#include "store/store.h"
#include "transport/transport.h"

#include <stdio.h>

uint64_t mioc_rendezvous_layout(void)
{
    char text[128];
    int length = snprintf(text, sizeof text, "%x %u %u %llx %zu %d", MIOC_RENDEZVOUS_MAGIC, MIOC_TRANSPORT_ABI,
                          MIOC_WIRE_VERSION, (unsigned long long)MIOC_STORE_MAGIC, sizeof(long), __BYTE_ORDER__);

    return mioc_hash(text, (size_t)length);
}

const char *mioc_rendezvous_span(int64_t ms, char buf[32])
{
    if (ms % 1000 == 0)
        snprintf(buf, 32, "%lld s", (long long)(ms / 1000));
    else
        snprintf(buf, 32, "%lld ms", (long long)ms);
    return buf;
}
