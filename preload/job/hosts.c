/* SPDX-License-Identifier: BSD-3-Clause */
/* hosts.c - reads lists of hosts that people and launchers write. */
#include "hosts.h"
#include "hostlist.h"
#include "base/log.h"
#include "base/proc.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Room for all names that a list can have, and for twice as many places of names. Pages come as they are used. */
#define NAMES_BYTES ((size_t)MIOC_HOSTS_MAX * (MIOC_HOST_NAME_MAX + 1))
#define PLACES (2u * MIOC_HOSTS_MAX)
/* A longer name with ranges is refused: to expand it takes a time that grows with the square. */
#define RANGES_MAX 65536u

struct reading {
    struct mioc_hosts *hosts;
    uint32_t *places; /* a hash table: where in `names` a name begins, plus 1; 0 is a free place */
    size_t used;      /* bytes of `names` */
    uint32_t second;  /* where the second name begins, plus 1 */
    uint32_t last;    /* the same of the host that was named last */
};

static void *take_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory != MAP_FAILED ? memory : NULL;
}

/* --- The text ---------------------------------------------------------------------------------------------------- */

/* Reads a file whole. NULL; or what is wrong with it. */
static const char *read_file(int fd, char **text, size_t *bytes)
{
    struct stat st;
    long n;

    if (fd < 0 || syscall(SYS_fstat, fd, &st) != 0)
        return mioc_log_error(errno);
    if (!S_ISREG(st.st_mode))
        return "it is no regular file";
    if (st.st_size > (off_t)MIOC_HOSTS_TEXT_MAX)
        return "it has more than 16 MiB";
    *bytes = (size_t)st.st_size + 1;
    *text = take_memory(*bytes);
    if (*text == NULL)
        return "there is no memory for it";
    n = mioc_proc_read_at(fd, *text, (size_t)st.st_size, 0);
    if (n < 0)
        return mioc_log_error(errno);
    return memchr(*text, '\0', (size_t)n) != NULL ? "it is no text" : NULL;
}

/* Copies the list's text, which is taken apart. 0, or -1 and the reason. */
static int load(const char *list, const char *what, char **text, size_t *bytes, char *reason, size_t size)
{
    const char *why;
    int fd;

    if (list[0] != '/') {
        *bytes = strlen(list) + 1;
        *text = *bytes <= MIOC_HOSTS_TEXT_MAX ? take_memory(*bytes) : NULL;
        if (*text != NULL)
            memcpy(*text, list, *bytes);
        else
            snprintf(reason, size, "out of memory for %s", what);
        return *text != NULL ? 0 : -1;
    }
    /* Nothing that waits, as a FIFO would. */
    fd = (int)syscall(SYS_openat, AT_FDCWD, list, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    why = read_file(fd, text, bytes);
    if (why != NULL)
        snprintf(reason, size, "this host cannot read %s=%.100s: %s", what, list, why);
    if (fd >= 0)
        syscall(SYS_close, fd);
    return why == NULL ? 0 : -1;
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

static size_t length_of(const char *name) { return strcspn(name, ","); }

static int is_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name != '\0'; name++)
        hash = (hash ^ (uint32_t)tolower((unsigned char)*name)) * 16777619u;
    return hash;
}

/* Notes that the host that was named last is named `times` times more. */
static void count_use(struct reading *r, unsigned times)
{
    if (r->last == 1)
        r->hosts->uses[0] += times;
    else if (r->last != 0 && r->last == r->second)
        r->hosts->uses[1] += times;
}

/* 0, or -1: there are too many. */
static int add_name(struct reading *r, const char *name)
{
    size_t len = strlen(name);
    uint32_t *place;

    for (uint32_t k = hash_of(name);; k++) {
        const char *other;

        place = &r->places[k % PLACES];
        if (*place == 0)
            break;
        other = r->hosts->names + *place - 1;
        if (is_same(other, length_of(other), name, len)) {
            r->last = *place;
            count_use(r, 1);
            return 0;
        }
    }
    if (r->hosts->count == MIOC_HOSTS_MAX)
        return -1;
    if (r->used > 0)
        r->hosts->names[r->used++] = ',';
    *place = r->last = (uint32_t)r->used + 1;
    if (r->hosts->count == 1)
        r->second = r->last;
    memcpy(r->hosts->names + r->used, name, len);
    r->used += len;
    r->hosts->count++;
    count_use(r, 1);
    return 0;
}

/* At least 1, as the host is named. */
static unsigned slots_of(const char *digits)
{
    unsigned long slots = strtoul(digits, NULL, 10);

    return slots < 1 ? 1 : slots > MIOC_HOSTS_MAX ? MIOC_HOSTS_MAX : (unsigned)slots;
}

/* Cuts "n1:4" off at the colon, and returns the number; an address of IPv6 has more colons. */
static unsigned cut_slots(char *word)
{
    char *colon = strchr(word, ':');

    if (colon == NULL || colon == word || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
        return 1;
    *colon = '\0';
    return slots_of(colon + 1);
}

/* NULL; or what is wrong with this word of the list. */
static const char *take_word(struct reading *r, char *word)
{
    char name[MIOC_HOST_NAME_MAX + 1];
    unsigned slots;
    int count;

    if (strchr(word, '=') != NULL) /* "slots=4", "max_slots=8" */
        return r->last != 0 ? NULL : "is no host";
    if (word[strspn(word, "0123456789")] == '\0') { /* "n1 4" */
        count_use(r, slots_of(word) - 1);
        return r->last != 0 ? NULL : "is no host";
    }
    slots = cut_slots(word);
    count = strchr(word, '[') != NULL && strlen(word) > RANGES_MAX ? -1 : mioc_hostlist_count(word);
    if (count < 1)
        return strchr(word, '/') != NULL ? "is no host (a file needs its absolute path)" : "is no host";
    for (int k = 0; k < count; k++)
        if (mioc_hostlist_name(word, k, name, sizeof name) != 0 || add_name(r, name) != 0)
            return "is one host too many";
    count_use(r, slots - 1);
    return NULL;
}

/* Returns the next word, NUL-terminated in place, and moves *at behind it; NULL: there is none. */
static char *next_word(char **at)
{
    char *begin = *at, *end;
    int is_inside = 0;

    while (*begin != '\0' && strchr(", \t\r\n#", *begin) != NULL)
        begin += *begin == '#' ? strcspn(begin, "\n") : 1;
    for (end = begin; *end != '\0' && (is_inside || strchr(", \t\r\n#", *end) == NULL); end++)
        is_inside = *end == '[' || (is_inside && *end != ']' && *end != '\n');
    if (end == begin)
        return NULL;
    if (*end == '#') { /* the comment's own sign is what is overwritten */
        *at = end + 1 + strcspn(end + 1, "\n");
    } else {
        *at = end + (*end != '\0');
    }
    *end = '\0';
    return begin;
}

/* A word as a message can show it. */
static void quote(const char *word, char text[64])
{
    size_t n = 0;

    for (; n < 60 && word[n] != '\0'; n++)
        text[n] = (char)((unsigned char)word[n] < 0x20 || word[n] == 0x7f ? '?' : word[n]);
    text[n] = '\0';
}

/* Takes all words of the text. 0, or -1 and the reason. */
static int take_words(struct reading *r, char *text, const char *what, char *reason, size_t size)
{
    const char *why = NULL;
    char *word, shown[64];

    while (why == NULL && (word = next_word(&text)) != NULL) {
        quote(word, shown);
        why = take_word(r, word);
    }
    if (why != NULL)
        snprintf(reason, size, "%s has an entry that %s: \"%s\"", what, why, shown);
    else if (r->hosts->count == 0)
        snprintf(reason, size, "%s names no host", what);
    return why == NULL && r->hosts->count > 0 ? 0 : -1;
}

int mioc_hosts_read(struct mioc_hosts *hosts, const char *list, const char *what, char *reason, size_t size)
{
    struct reading r = { .hosts = hosts };
    int saved = errno, rc = -1;
    size_t bytes = 0, whole;
    char *text = NULL;

    memset(hosts, 0, sizeof *hosts);
    if (load(list, what, &text, &bytes, reason, size) == 0) {
        hosts->names = take_memory(hosts->bytes = NAMES_BYTES);
        r.places = take_memory(PLACES * sizeof *r.places);
        if (hosts->names == NULL || r.places == NULL)
            snprintf(reason, size, "out of memory for the hosts' names");
        else
            rc = take_words(&r, text, what, reason, size);
    }
    if (text != NULL)
        (void)munmap(text, bytes);
    if (r.places != NULL)
        (void)munmap(r.places, PLACES * sizeof *r.places);
    if (rc != 0)
        mioc_hosts_free(hosts);
    whole = (r.used + 4096) & ~(size_t)4095; /* the pages of the names and of their NUL */
    if (rc == 0 && munmap(hosts->names + whole, hosts->bytes - whole) == 0)
        hosts->bytes = whole;
    errno = saved;
    return rc;
}

void mioc_hosts_drop_first(struct mioc_hosts *hosts)
{
    const char *second = hosts->names + length_of(hosts->names) + 1;

    memmove(hosts->names, second, strlen(second) + 1);
    hosts->count--;
}

void mioc_hosts_free(struct mioc_hosts *hosts)
{
    int saved = errno;

    if (hosts->names != NULL)
        (void)munmap(hosts->names, hosts->bytes);
    memset(hosts, 0, sizeof *hosts);
    errno = saved;
}

/* --- This host --------------------------------------------------------------------------------------------------- */

/* Whether one of two names is the other without its domain. */
static int is_short_form(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const char *a_dot = memchr(a, '.', a_len), *b_dot = memchr(b, '.', b_len);
    const char *dot = a_dot != NULL ? a_dot : b_dot;

    if ((a_dot != NULL) == (b_dot != NULL) || !isalpha((unsigned char)dot[1])) /* "10" is not short for "10.0.0.1" */
        return 0;
    return is_same(a, a_dot != NULL ? (size_t)(a_dot - a) : a_len, b, b_dot != NULL ? (size_t)(b_dot - b) : b_len);
}

int mioc_hosts_find(const struct mioc_hosts *hosts, const char *name)
{
    size_t name_len = strlen(name), len;
    int k = 0, found = -1;

    for (const char *at = hosts->names; *at != '\0'; at += len + (at[len] == ','), k++) {
        len = length_of(at);
        if (is_same(at, len, name, name_len))
            return k;
        if (is_short_form(at, len, name, name_len))
            found = found == -1 ? k : -2;
    }
    return found;
}

/* Whether text[len] is that address. */
static int is_address(const char *text, size_t len, const struct sockaddr *address)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char bytes[sizeof(struct in6_addr)];

    if (len >= sizeof copy)
        return 0;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(address->sa_family, copy, bytes) != 1)
        return 0;
    if (address->sa_family == AF_INET)
        return memcmp(bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4) == 0;
    return memcmp(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16) == 0;
}

/* Returns the number of the first host that is an address of this one, or -1. Every host has the loopback's. */
static int find_address(const struct mioc_hosts *hosts)
{
    struct ifaddrs *all = NULL;
    int k = 0, found = -1;
    size_t len;

    if (getifaddrs(&all) != 0)
        return -1;
    for (const char *at = hosts->names; found < 0 && *at != '\0'; at += len + (at[len] == ','), k++) {
        len = length_of(at);
        if (memchr(at, ':', len) == NULL && strspn(at, "0123456789.") < len)
            continue; /* no address */
        for (const struct ifaddrs *a = all; a != NULL && found < 0; a = a->ifa_next)
            if (a->ifa_addr != NULL && (a->ifa_flags & IFF_LOOPBACK) == 0 &&
                (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6) &&
                is_address(at, len, a->ifa_addr))
                found = k;
    }
    freeifaddrs(all);
    return found;
}

int mioc_hosts_find_this(const struct mioc_hosts *hosts, const char *what, char *reason, size_t size)
{
    char name[MIOC_HOST_NAME_MAX + 1] = "";
    int saved = errno, k;

    (void)gethostname(name, sizeof name - 1);
    k = mioc_hosts_find(hosts, name);
    if (k == -2)
        snprintf(reason, size, "this host (%.100s) is several of %s", name, what);
    else if (k < 0 && (k = find_address(hosts)) < 0)
        snprintf(reason, size, "this host (%.100s) is none of the %d of %s", name, hosts->count, what);
    errno = saved;
    return k < 0 ? -1 : k;
}
