/* SPDX-License-Identifier: BSD-3-Clause */
/* database.c - recognises data bases that are read while others write them, by their first bytes. */
#include "database.h"

#include <stdint.h>
#include <string.h>

/* Numbers are in the byte order of the machine that made the file. */
static const struct {
    uint8_t at, length;
    unsigned char bytes[8];
} marks[] = {
    { 16, 4, { 0xde, 0xc0, 0xef, 0xbe } }, /* LMDB, behind the first page's header */
    { 16, 4, { 0xbe, 0xef, 0xc0, 0xde } },
    { 21, 7, { 0x11, 0x4c, 0xef, 0xbd, 0x9d, 0x65, 0x59 } }, /* libmdbx: above the format's version */
    { 12, 4, { 0x62, 0x31, 0x05, 0x00 } },                   /* Berkeley DB: trees, */
    { 12, 4, { 0x00, 0x05, 0x31, 0x62 } },
    { 12, 4, { 0x61, 0x15, 0x06, 0x00 } }, /* hash tables, */
    { 12, 4, { 0x00, 0x06, 0x15, 0x61 } },
    { 12, 4, { 0x53, 0x22, 0x04, 0x00 } }, /* queues, */
    { 12, 4, { 0x00, 0x04, 0x22, 0x53 } },
    { 12, 4, { 0x82, 0x45, 0x07, 0x00 } }, /* heaps */
    { 12, 4, { 0x00, 0x07, 0x45, 0x82 } },
    { 0, 8, { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' } },
};

int mioc_database_is(const void *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (size >= (size_t)marks[i].at + marks[i].length &&
            memcmp((const char *)bytes + marks[i].at, marks[i].bytes, marks[i].length) == 0)
            return 1;
    return 0;
}
