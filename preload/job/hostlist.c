/* SPDX-License-Identifier: BSD-3-Clause */
/* hostlist.c - expands Slurm's host lists, one name at a time. */
#include "hostlist.h"

#include <stdint.h>
#include <string.h>

/* A name with more ranges is refused. Slurm itself writes one for each dimension of the machine, and it has at most 5.
 */
#define MOST_RANGES 8
/* More digits could overflow. */
#define MOST_DIGITS 18

/* "[01-03,7]": what its numbers are, and how many. */
struct range {
    const char *open, *close; /* at the brackets */
    unsigned count;
    size_t widest; /* no number takes more bytes */
};

/* One name of the list, up to a comma: ranges with text before each; or text alone. */
struct item {
    const char *begin, *end;
    unsigned ranges;
    struct range range[MOST_RANGES];
    unsigned count; /* of hosts */
};

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static int is_name_byte(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && c != '/' && c != ',' && c != '[' && c != ']';
}

int mioc_hostlist_is_name(const char *name)
{
    size_t n = 0;

    while (n <= MIOC_HOST_NAME_MAX && is_name_byte(name[n]))
        n++;
    return n > 0 && n <= MIOC_HOST_NAME_MAX && name[n] == '\0';
}

/* Reads the digits at `at`. Returns the text behind them, or NULL: there are none, or too many. */
static const char *parse_number(const char *at, uint64_t *value)
{
    const char *begin = at;

    for (*value = 0; is_digit(*at) && at - begin <= MOST_DIGITS; at++)
        *value = *value * 10 + (uint64_t)(*at - '0');
    return at == begin || at - begin > MOST_DIGITS ? NULL : at;
}

/* Reads "01-03" or "7". Returns the text behind it, or NULL: it is malformed. */
static const char *parse_span(const char *at, uint64_t *first, uint64_t *last, int *width)
{
    const char *end = parse_number(at, first);

    if (end == NULL)
        return NULL;
    *width = (int)(end - at);
    *last = *first;
    if (*end == '-' && (end = parse_number(end + 1, last)) == NULL)
        return NULL;
    return *last < *first || *last - *first >= MIOC_HOSTS_MAX ? NULL : end;
}

/* Reads the range that begins at the bracket `at`. 0, or -1: it is malformed, or has too many numbers. */
static int parse_range(const char *at, struct range *range)
{
    uint64_t first, last;
    int width;

    *range = (struct range){ .open = at };
    do {
        const char *begin = at + 1;

        if ((at = parse_span(begin, &first, &last, &width)) == NULL)
            return -1;
        if ((size_t)(at - begin) > range->widest)
            range->widest = (size_t)(at - begin);
        range->count += (unsigned)(last - first) + 1;
        if (range->count > MIOC_HOSTS_MAX)
            return -1;
    } while (*at == ',');
    range->close = at;
    return *at == ']' ? 0 : -1;
}

/* Reads the name at `at`, which is not empty. 0, or -1: it is malformed, or names too many hosts. */
static int parse_item(const char *at, struct item *item)
{
    size_t longest = 0;

    item->begin = at;
    item->ranges = 0;
    item->count = 1;
    for (; *at != '\0' && *at != ','; at++) {
        struct range *range = &item->range[item->ranges];

        if (is_name_byte(*at)) {
            longest++;
            continue;
        }
        if (*at != '[' || item->ranges == MOST_RANGES || parse_range(at, range) != 0 ||
            (uint64_t)item->count * range->count > MIOC_HOSTS_MAX)
            return -1;
        item->ranges++;
        item->count *= range->count;
        longest += range->widest;
        at = range->close;
    }
    item->end = at;
    return longest > MIOC_HOST_NAME_MAX || (item->ranges > 0 && at[-1] != ']') ? -1 : 0;
}

/* --- One name ---------------------------------------------------------------------------------------------------- */

struct writer {
    char *at;
    size_t room; /* without the NUL */
    int is_short;
};

static void put(struct writer *out, const char *text, size_t n)
{
    if (n > out->room) {
        out->is_short = 1;
        return;
    }
    memcpy(out->at, text, n);
    out->at += n;
    out->room -= n;
}

/* Puts number k of a range. */
static void put_number(struct writer *out, const struct range *range, unsigned k)
{
    const char *at = range->open;
    uint64_t first = 0, last = 0;
    char digits[24];
    int width = 0, n = 0;

    while (at < range->close && (at = parse_span(at + 1, &first, &last, &width)) != NULL && k > last - first)
        k -= (unsigned)(last - first) + 1;
    for (first += k; first > 0 || n < width; first /= 10)
        digits[sizeof digits - 1 - (size_t)n++] = (char)('0' + first % 10);
    put(out, digits + sizeof digits - (size_t)n, (size_t)n);
}

/* Puts name k of an item. */
static void put_name(struct writer *out, const struct item *item, unsigned k)
{
    unsigned number[MOST_RANGES], ranges = item->ranges;
    const char *at = item->begin;

    for (unsigned i = 0; i < ranges; i++) {
        unsigned which = i == 0 ? ranges - 1 : i - 1; /* the last runs fastest, then the first */

        number[which] = k % item->range[which].count;
        k /= item->range[which].count;
    }
    for (unsigned i = 0; i < ranges; i++) {
        put(out, at, (size_t)(item->range[i].open - at));
        put_number(out, &item->range[i], number[i]);
        at = item->range[i].close + 1;
    }
    put(out, at, (size_t)(item->end - at));
}

/* --- The list ---------------------------------------------------------------------------------------------------- */

/* Reads the next name of the list. 1; 0: the list is at its end; -1: it is malformed. */
static int next_item(const char **list, struct item *item)
{
    while (**list == ',') /* Slurm takes an empty name for none, too */
        (*list)++;
    if (**list == '\0')
        return 0;
    if (parse_item(*list, item) != 0)
        return -1;
    *list = item->end;
    return 1;
}

int mioc_hostlist_count(const char *list)
{
    struct item item;
    unsigned count = 0;
    int rc;

    while ((rc = next_item(&list, &item)) > 0)
        if ((count += item.count) > MIOC_HOSTS_MAX)
            return -1;
    return rc < 0 || count == 0 ? -1 : (int)count;
}

int mioc_hostlist_name(const char *list, int k, char *name, size_t size)
{
    struct item item;
    unsigned left = (unsigned)k;

    if (k < 0 || size == 0)
        return -1;
    while (next_item(&list, &item) > 0) {
        struct writer out = { name, size - 1, 0 };

        if (left >= item.count) {
            left -= item.count;
            continue;
        }
        put_name(&out, &item, left);
        *out.at = '\0';
        return out.is_short ? -1 : 0;
    }
    return -1;
}
