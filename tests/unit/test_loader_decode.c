/* SPDX-License-Identifier: BSD-3-Clause */
/* test_loader_decode.c - how long instructions are and where they lead: by hand, and those of ld.so and libc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#ifdef __x86_64__

#include "loader/decode_x86_64.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *bytes;
    unsigned size, length;
    enum mioc_flow flow;
    int target; /* behind the instruction's start */
} cases[] = {
    { "\x90", 1, 1, MIOC_FLOW_ON, 0 },
    { "\x0f\x05", 2, 2, MIOC_FLOW_ON, 0 },                                           /* syscall */
    { "\xb8\x01\x01\x00\x00", 5, 5, MIOC_FLOW_ON, 0 },                               /* mov $257, %eax */
    { "\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, 10, MIOC_FLOW_ON, 0 },         /* movabs */
    { "\x66\xb8\x01\x02", 4, 4, MIOC_FLOW_ON, 0 },                                   /* mov $0x201, %ax */
    { "\x48\x3d\x00\xf0\xff\xff", 6, 6, MIOC_FLOW_ON, 0 },                           /* cmp $-4096, %rax */
    { "\x64\xc7\x04\x25\x10\x00\x00\x00\x01\x00\x00\x00", 12, 12, MIOC_FLOW_ON, 0 }, /* movl $1, %fs:16 */
    { "\x8b\x44\x24\x08", 4, 4, MIOC_FLOW_ON, 0 },                                   /* mov 8(%rsp), %eax */
    { "\x8b\x05\x01\x02\x03\x04", 6, 6, MIOC_FLOW_ON, 0 },                           /* mov N(%rip), %eax */
    { "\x8b\x04\x25\x01\x02\x03\x04", 7, 7, MIOC_FLOW_ON, 0 },                       /* mov N, %eax */
    { "\xf6\x47\x10\x01", 4, 4, MIOC_FLOW_ON, 0 },                                   /* testb $1, 16(%rdi) */
    { "\xf7\xd8", 2, 2, MIOC_FLOW_ON, 0 },                                           /* neg %eax */
    { "\xf7\xc7\x00\x00\x41\x00", 6, 6, MIOC_FLOW_ON, 0 },                           /* test $0x410000, %edi */
    { "\xf3\x0f\x1e\xfa", 4, 4, MIOC_FLOW_ON, 0 },                                   /* endbr64 */
    { "\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 10, 10, MIOC_FLOW_ON, 0 },         /* cs nopw */
    { "\xf0\x0f\xb1\x0f", 4, 4, MIOC_FLOW_ON, 0 },                                   /* lock cmpxchg */
    { "\xf3\x0f\x6f\x44\x24\x10", 6, 6, MIOC_FLOW_ON, 0 },                           /* movdqu 16(%rsp), %xmm0 */
    { "\x77\xfe", 2, 2, MIOC_FLOW_BRANCH, 0 },
    { "\x0f\x87\x10\x00\x00\x00", 6, 6, MIOC_FLOW_BRANCH, 22 },
    { "\xe3\x7f", 2, 2, MIOC_FLOW_BRANCH, 129 }, /* jrcxz */
    { "\xe8\xfb\xff\xff\xff", 5, 5, MIOC_FLOW_BRANCH, 0 },
    { "\xe9\x00\x01\x00\x00", 5, 5, MIOC_FLOW_JUMP, 261 },
    { "\xeb\x80", 2, 2, MIOC_FLOW_JUMP, -126 },
    { "\xff\xd0", 2, 2, MIOC_FLOW_ON, 0 },          /* call *%rax */
    { "\xff\xe0", 2, 2, MIOC_FLOW_UNKNOWN, 0 },     /* jmp *%rax */
    { "\x3e\xff\xe1", 3, 3, MIOC_FLOW_UNKNOWN, 0 }, /* notrack jmp *%rcx */
    { "\xc3", 1, 1, MIOC_FLOW_END, 0 },
    { "\xf3\xc3", 2, 2, MIOC_FLOW_END, 0 },
    { "\x0f\x0b", 2, 2, MIOC_FLOW_END, 0 },
    { "\xf4", 1, 1, MIOC_FLOW_END, 0 },
};

static void instructions_are_as_long_and_lead_where_the_manual_says(void **state)
{
    struct mioc_instruction in;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uintptr_t at = (uintptr_t)cases[i].bytes;

        if (mioc_decode(at, at + cases[i].size, &in) != 0 || in.length != cases[i].length || in.flow != cases[i].flow ||
            (in.target != 0 && in.target != at + (uintptr_t)(intptr_t)cases[i].target))
            fail_msg("case %zu: length %u, flow %d", i, in.length, (int)in.flow);
        /* Not to be had where its end is cut off. */
        assert_int_equal(mioc_decode(at, at + cases[i].size - 1, &in), -1);
    }
}

static void what_is_not_known_is_refused(void **state)
{
    static const char unknown[][16] = {
        "\xc5\xf8\x77",
        "\xc4\xe2\x79\x18\xc0",
        "\x62\xf1\x7c\x48\x28\xc0", /* VEX, EVEX */
        "\x0f\x38\x00\xc0",
        "\x0f\x3a\x0f\xc0\x01",
        "\x66\xe9\x00\x00\x00\x00",
        "\xff\x2f",
        "\xea\x00\x00\x00\x00",
        "\xc7\xf8\x00\x00\x00\x00" /* xbegin: leads elsewhere */,
        "\x8f\xe8\x78\xc0\xc1\x01" /* XOP */,
    };
    struct mioc_instruction in;

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        if (mioc_decode((uintptr_t)unknown[i], (uintptr_t)unknown[i] + 15, &in) == 0)
            fail_msg("case %zu is known: length %u", i, in.length);
}

/* --- Against objdump --------------------------------------------------------------------------------------------- */

struct file {
    const char *bytes;
    size_t size;
};

static struct file map(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    const struct file file = { mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0), (size_t)st.st_size };
    assert_true(file.bytes != MAP_FAILED);
    close(fd);
    return file;
}

/* A line of objdump: address, bytes in hexadecimal. Addresses are offsets in the file in all sections of code. */
static unsigned parse(const char *line, unsigned long *address)
{
    unsigned n = 0;
    char *end;

    *address = strtoul(line, &end, 16);
    if (end == line || *end != ':')
        return 0;
    for (const char *p = end + 2; p[0] != '\0' && p[1] != '\0' && p[2] == ' ' && p[0] != ' '; p += 3)
        n++;
    return n;
}

/* How many instructions there are, and how many of them are not known. */
static void compare(const char *path, unsigned *count, unsigned *unknown)
{
    const struct file file = map(path);
    char command[4200], line[1024];
    FILE *pipe;

    (void)snprintf(command, sizeof command, "objdump -d -w %s", path);
    pipe = popen(command, "re");
    assert_non_null(pipe);
    *count = *unknown = 0;
    while (fgets(line, sizeof line, pipe) != NULL) {
        struct mioc_instruction in;
        unsigned long at;
        const unsigned length = parse(line, &at);

        if (length == 0 || strstr(line, "(bad)") != NULL || at + length > file.size)
            continue;
        ++*count;
        if (mioc_decode((uintptr_t)file.bytes + at, (uintptr_t)file.bytes + at + length, &in) != 0)
            ++*unknown;
        else if (in.length != length)
            fail_msg("%s: %u and not %u: %s", path, in.length, length, line);
    }
    assert_int_equal(pclose(pipe), 0);
    munmap((void *)(uintptr_t)file.bytes, file.size);
}

static void loader_and_libc_are_decoded_as_objdump_does(void **state)
{
    static const char *const paths[] = { "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6" };
    unsigned count, unknown;

    (void)state;
    if (system("command -v objdump >/dev/null 2>&1") != 0)
        skip();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (access(paths[i], R_OK) != 0)
            continue;
        compare(paths[i], &count, &unknown);
        print_message("%s: %u instructions, %u not known\n", paths[i], count, unknown);
        assert_true(count > 10000 && unknown < count / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instructions_are_as_long_and_lead_where_the_manual_says),
        cmocka_unit_test(what_is_not_known_is_refused),
        cmocka_unit_test(loader_and_libc_are_decoded_as_objdump_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void) { return 0; }
#endif
