/* SPDX-License-Identifier: BSD-3-Clause */
/* test_loader_stub.c - the jumps of a patched call site, also by the padding, and what the stubs keep. */
#include "ldso_fixture.h"

#ifdef __x86_64__

#include "loader/handle.h"
#include "loader/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

CODE(returns, "xor %eax, %eax\nret\n");
CODE(runs_on, "xor %eax, %eax\nnop\n");
CODE(calls, "call 1f\nnop\n1: call 1b\n");
/* Seven bytes long; leads to the fifth and the seventh of the nine behind it. */
CODE(leads_behind, "xor %eax, %eax\n.byte 0x74, 7\n.byte 0x74, 7\nret\n");
CODE(plain_fstat, CALL(5) CHECK);
CODE(no_comparison, CALL(257) "test %eax, %eax\njs 1f\nret\n1: or $-1, %rax\nret\n");

static struct image image;
static struct mioc_ldso ld;
static struct mioc_callsite sites[MIOC_MOST_CALLSITES];
static const char *why;

static int find(void)
{
    image_end(&image);
    assert_int_equal(mioc_ldso_read(&ld, (uintptr_t)image.base), 0);
    why = NULL;
    return mioc_callsites_find(&ld, sites, &why);
}

/* --- Padding ----------------------------------------------------------------------------------------------------- */

static struct mioc_plan plan;

/* Plans a site that needs padding: there may be some before its function, behind `code`, but none behind it. */
static int plan_behind(const char *code, const char *end, unsigned alignment)
{
    static const unsigned char tight[16] = { [0 ... 14] = 0x90, [15] = 0xc3 }; /* leaves none */
    int n, rc;

    image_begin(&image);
    for (unsigned i = 0; i < 20; i++)
        (void)image_add(&image, tight, sizeof tight, 16);
    (void)image_add(&image, code, (unsigned)(end - code), 16);
    (void)image_add(&image, no_comparison, (unsigned)(no_comparison_end - no_comparison), alignment);
    for (unsigned i = 0; i < 20; i++)
        (void)image_add(&image, tight, sizeof tight, 1);
    ADD(&image, plain_fstat);
    n = find();
    assert_int_equal(n, 2);
    rc = mioc_plan_sites(&ld, sites, 2, &plan, &why);
    image_free(&image);
    return rc;
}
#define PLAN_BEHIND(name, alignment) plan_behind(name, name##_end, alignment)

static void site_without_comparison_goes_by_the_padding(void **state)
{
    const struct mioc_change *far = &plan.change[0], *near = &plan.change[1];

    (void)state;
    assert_int_equal(PLAN_BEHIND(returns, 16), 0);
    assert_int_equal(plan.count, 3); /* in the padding, to it, and the other site's */
    assert_int_equal(far->size, 5);
    assert_memory_equal(far->before, "\x90\x90\x90\x90\x90", 5);
    assert_int_equal(near->size, 2);
    assert_int_equal(near->at, sites[0].at);
    assert_int_equal(near->at + 2 + (uintptr_t)(intptr_t)(signed char)near->after[1], far->at);
}

static void without_padding_in_reach_it_is_refused(void **state)
{
    (void)state;
    assert_int_equal(PLAN_BEHIND(returns, 1), -1);
    assert_string_equal(why, "ld.so's calls are out of reach");
}

/* What is behind the last instruction may be reached where that is no jump and no return. */
static void padding_into_which_a_function_runs_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(PLAN_BEHIND(runs_on, 16), -1);
    assert_int_equal(PLAN_BEHIND(calls, 16), -1);
}

static void padding_into_which_a_branch_leads_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(PLAN_BEHIND(leads_behind, 16), -1);
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

/* void probe(const uint64_t in[], uint64_t out[]): fills all registers but the vectors, and the red zone, makes the
 * call, and says what they are. out[0] is the result, out[15] the sum of the red zone, out[14] whether the branch was
 * taken. */
#define PROBE(name, comparison) \
    CODE(name, \
         "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n" \
         "sub $136, %rsp\nmov %rsi, 128(%rsp)\n" \
         "mov 8(%rdi), %rbx\nmov 24(%rdi), %rdx\nmov 32(%rdi), %rsi\nmov 48(%rdi), %rbp\nmov 64(%rdi), %r8\n" \
         "mov 72(%rdi), %r9\nmov 80(%rdi), %r10\nmov 96(%rdi), %r12\nmov 104(%rdi), %r15\nmov 40(%rdi), %rdi\n" \
         "mov %rdi, -8(%rsp)\nmov %rdi, -128(%rsp)\n" \
         "mov $257, %eax\nsyscall\n" comparison \
         "mov 128(%rsp), %rcx\nmov %rax, (%rcx)\nmov -8(%rsp), %rax\nadd -128(%rsp), %rax\nmov %rax, 120(%rcx)\n" \
         "mov %rbx, 8(%rcx)\nmov %rdx, 24(%rcx)\nmov %rsi, 32(%rcx)\nmov %rdi, 40(%rcx)\nmov %rbp, 48(%rcx)\n" \
         "mov %r8, 64(%rcx)\nmov %r9, 72(%rcx)\nmov %r10, 80(%rcx)\nmov %r12, 96(%rcx)\nmov %r15, 104(%rcx)\n" \
         "add $136, %rsp\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret")

#define WHOLE "cmp $-4096, %rax\njbe 1f\nmov 128(%rsp), %rcx\nmovl $1, 112(%rcx)\n1:\n"
#define CUT "test %rax, %rax\njns 1f\nmov 128(%rsp), %rcx\nmovl $1, 112(%rcx)\n1:\n"
PROBE(probe_whole, WHOLE);
PROBE(probe_cut, CUT);

/* The same for vectors: void vectors(const uint64_t in[32], uint64_t out[32]). */
#define VECTORS(name, first) \
    CODE(name, "push %rsi\n.irp r, " first "\nmovups 16 * \\r(%rdi), %xmm\\r\n.endr\nmov $257, %eax\nsyscall\n" \
               "cmp $-4096, %rax\nja 1f\n1: pop %rsi\n.irp r, " first "\nmovups %xmm\\r, 16 * \\r(%rsi)\n.endr\nret")
VECTORS(vectors_low, "0, 1, 2, 3, 4, 5, 6, 7");
VECTORS(vectors_high, "8, 9, 10, 11, 12, 13, 14, 15");

static long result;
static struct mioc_loader_call last;

/* Uses up all that a function may. */
static long spoil(const struct mioc_loader_call *call)
{
    last = *call;
    errno = EXFULL;
    __asm__ volatile(".irp r, ax,cx,dx,si,di,8,9,10,11\nmov $-1, %%r\\r\n.endr\n"
                     ".irp r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\npcmpeqd %%xmm\\r, %%xmm\\r\n.endr\n" ::
                         : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "xmm0", "xmm1", "xmm2",
                           "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                           "xmm14", "xmm15");
    return result;
}

typedef void (*probe_function)(const uint64_t in[], uint64_t out[]);

static probe_function make_probe(const char *code, const char *end, int is_whole)
{
    unsigned at;
    int n;

    image_begin(&image);
    at = image_add(&image, code, (unsigned)(end - code), 16);
    ADD(&image, plain_fstat);
    n = find();
    assert_int_equal(n, 2);
    assert_int_equal(sites[0].resume - sites[0].at, is_whole ? 8 : 2);
    assert_int_equal(mioc_plan_sites(&ld, sites, 2, &plan, &why), 0);
    assert_int_equal(mioc_patch_apply(&ld, &plan, 1), 0);
    mioc_loader_set_answer(spoil);
    return (probe_function)(uintptr_t)(image.base + at); /* NOLINT */
}

static void check_probe(const char *code, const char *end, int is_whole)
{
    static const unsigned kept[] = { 1, 3, 4, 5, 6, 8, 9, 10, 12, 13 };
    const probe_function probe = make_probe(code, end, is_whole);
    uint64_t in[16], out[16];

    for (unsigned i = 0; i < 16; i++)
        in[i] = 0x1111111111111111u * i + 7;
    for (int is_error = 0; is_error < 2; is_error++) {
        memset(out, 0, sizeof out);
        result = is_error ? -ENOENT : 77;
        errno = EBADF;
        probe(in, out);
        assert_int_equal(errno, EBADF);
        assert_int_equal((long)out[0], result);
        assert_int_equal(out[14], is_error);
        for (unsigned i = 0; i < sizeof kept / sizeof kept[0]; i++)
            if (out[kept[i]] != in[kept[i]])
                fail_msg("register %u: %lx", kept[i], (unsigned long)out[kept[i]]);
        assert_int_equal(out[15], 2 * in[5]);
        assert_int_equal(last.number, SYS_openat);
        assert_int_equal(last.argument[0], in[5]);
        assert_int_equal(last.argument[1], in[4]);
        assert_int_equal(last.argument[2], in[3]);
        assert_int_equal(last.argument[3], in[10]);
        assert_int_equal(last.argument[4], in[8]);
        assert_int_equal(last.argument[5], in[9]);
    }
    /* As it was, to the byte. */
    assert_int_equal(mioc_patch_undo(&ld, &plan, 1), 0);
    assert_memory_equal((const void *)(uintptr_t)probe, code, (size_t)(end - code));
    image_free(&image);
}

static void stub_keeps_registers_flags_red_zone_and_errno(void **state)
{
    (void)state;
    check_probe(probe_whole, probe_whole_end, 1);
}

static void stub_by_the_padding_keeps_them_too(void **state)
{
    (void)state;
    check_probe(probe_cut, probe_cut_end, 0);
}

static void check_vectors(const char *code, const char *end, unsigned first)
{
    const probe_function probe = make_probe(code, end, 1);
    uint64_t in[32], out[32] = { 0 };

    for (unsigned i = 0; i < 32; i++)
        in[i] = 0x0123456789abcdefu * (i + 1);
    probe(in, out);
    assert_memory_equal(out + first, in + first, 16 * sizeof *in);
    image_free(&image);
}

static void stub_keeps_vectors(void **state)
{
    (void)state;
    check_vectors(vectors_low, vectors_low_end, 0);
    check_vectors(vectors_high, vectors_high_end, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(site_without_comparison_goes_by_the_padding),
        cmocka_unit_test(without_padding_in_reach_it_is_refused),
        cmocka_unit_test(padding_into_which_a_function_runs_is_not_taken),
        cmocka_unit_test(padding_into_which_a_branch_leads_is_not_taken),
        cmocka_unit_test(stub_keeps_registers_flags_red_zone_and_errno),
        cmocka_unit_test(stub_by_the_padding_keeps_them_too),
        cmocka_unit_test(stub_keeps_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void) { return 0; }
#endif
