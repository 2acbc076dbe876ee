/* SPDX-License-Identifier: BSD-3-Clause */
/* plan_x86_64.c - plans the jumps from a call site to its stub: directly, or over padding between two functions. */
#ifdef __x86_64__

#include "decode_x86_64.h"
#include "patch.h"
#include "stubs.h"

#define JUMP_LENGTH 5u
#define SHORT_LENGTH 2u

/* --- Jumps ------------------------------------------------------------------------------------------------------- */

static int plan_jump(struct mioc_plan *plan, uintptr_t at, uintptr_t to)
{
    const intptr_t far = (intptr_t)(to - (at + JUMP_LENGTH));
    const int32_t distance = (int32_t)far;
    unsigned char jump[JUMP_LENGTH] = { 0xe9 };

    memcpy(jump + 1, &distance, sizeof distance);
    return far == distance ? mioc_plan_add(plan, at, jump, sizeof jump) : -1;
}

static int plan_short_jump(struct mioc_plan *plan, uintptr_t at, uintptr_t to)
{
    const unsigned char jump[SHORT_LENGTH] = { 0xeb, (unsigned char)(to - (at + SHORT_LENGTH)) };

    return mioc_plan_add(plan, at, jump, sizeof jump);
}

/* Whether a short jump at `at` reaches `to`. */
static int is_short_way(uintptr_t at, uintptr_t to)
{
    const intptr_t far = (intptr_t)(to - (at + SHORT_LENGTH));

    return far == (signed char)far;
}

/* --- Padding ----------------------------------------------------------------------------------------------------- */

/* Whether code never runs between row `i` and the next one: there is only filling, and the function before ends with a
 * return or a jump. Fills *gap with these bytes. */
static int is_padding(const struct mioc_ldso *ld, unsigned i, struct mioc_function *gap)
{
    const struct mioc_function f = mioc_ldso_function(ld, i);
    struct mioc_instruction in = { 0 };

    *gap = (struct mioc_function){ f.end, mioc_ldso_function(ld, i + 1).start };
    for (uintptr_t at = gap->start; at < gap->end; at += in.length)
        if (mioc_decode(at, gap->end, &in) != 0 || !mioc_is_filling(&in))
            return 0;
    for (uintptr_t at = f.start; at < f.end; at += in.length)
        if (mioc_decode(at, f.end, &in) != 0)
            return 0;
    return in.flow == MIOC_FLOW_END || in.flow == MIOC_FLOW_JUMP;
}

/* Whether the plan changes one of the five bytes at `at` already. */
static int is_taken(const struct mioc_plan *plan, uintptr_t at)
{
    for (unsigned i = 0; i < plan->count; i++)
        if (at < plan->change[i].at + plan->change[i].size && plan->change[i].at < at + JUMP_LENGTH)
            return 1;
    return 0;
}

/* Whether a branch, or bytes that look like one, leads into the five bytes at `at`, past the first. */
static int is_led_into(const struct mioc_ldso *ld, uintptr_t at)
{
    struct mioc_callsite slot = { .at = at, .resume = at + JUMP_LENGTH, .row = MIOC_NO_ROW };

    mioc_callsites_shorten(ld, &slot, 1);
    return slot.resume != at + JUMP_LENGTH;
}

/* The address of five bytes of padding after row `i` that a short jump at `from` reaches; 0: there are none. */
static uintptr_t find_slot(const struct mioc_ldso *ld, unsigned i, uintptr_t from, const struct mioc_plan *plan)
{
    struct mioc_function gap;

    if (i + 1 >= ld->functions || !is_padding(ld, i, &gap))
        return 0;
    for (uintptr_t at = gap.start; at + JUMP_LENGTH <= gap.end; at++)
        if (is_short_way(from, at) && !is_taken(plan, at) && !is_led_into(ld, at))
            return at;
    return 0;
}

/* The same after any row. Goes from the site's own row in both directions, as far as a short jump may reach. */
static uintptr_t find_nearest_slot(const struct mioc_ldso *ld, const struct mioc_callsite *site,
                                   const struct mioc_plan *plan)
{
    for (unsigned i = site->row; i < ld->functions && mioc_ldso_function(ld, i).end < site->at + 128; i++) {
        const uintptr_t at = find_slot(ld, i, site->at, plan);

        if (at != 0)
            return at;
    }
    for (unsigned i = site->row; i-- > 0 && mioc_ldso_function(ld, i).end + 256 > site->at;) {
        const uintptr_t at = find_slot(ld, i, site->at, plan);

        if (at != 0)
            return at;
    }
    return 0;
}

int mioc_plan_site(const struct mioc_ldso *ld, const struct mioc_callsite *site, unsigned i, struct mioc_plan *plan)
{
    const unsigned before = plan->count;
    uintptr_t slot;

    if (site->resume - site->at >= JUMP_LENGTH)
        return plan_jump(plan, site->at, mioc_stub_at(i));
    slot = find_nearest_slot(ld, site, plan);
    if (slot != 0 && plan_jump(plan, slot, mioc_stub_at(i)) == 0 && plan_short_jump(plan, site->at, slot) == 0)
        return 0;
    plan->count = before;
    return -1;
}

#endif
