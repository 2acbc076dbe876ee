/* SPDX-License-Identifier: BSD-3-Clause */
/* decimal.h - writes a number in decimal digits, without stdio: printf() needs two KiB of stack, and takes locks. */
#ifndef MIOC_DECIMAL_H
#define MIOC_DECIMAL_H

#include <stdint.h>
#include <string.h>

/* Bytes that the largest number takes, with its NUL. */
#define MIOC_DECIMAL_MAX 21u

/* Writes the digits of n and a NUL to `to`, which has room for MIOC_DECIMAL_MAX bytes. Returns where the NUL is. Keeps
 * errno; async-signal-safe. */
static inline char *mioc_decimal(char *to, uint64_t n)
{
    char digits[MIOC_DECIMAL_MAX], *at = digits + sizeof digits;

    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    n = (uint64_t)(digits + sizeof digits - at);
    memcpy(to, at, n);
    to[n] = '\0';
    return to + n;
}

#endif
