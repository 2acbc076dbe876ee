/* SPDX-License-Identifier: BSD-3-Clause */
/* bytecode.c - finds the imports in a module's marshalled code object (CPython's Python/marshal.c writes it,
 * Lib/opcode.py has the instructions). */
#include "bytecode.h"

#include <string.h>

#define HEADER 16u
#define DEPTH_MAX 32u
#define REFS_MAX 8192u
#define PARTS_MAX 2048u
#define FLAG_REF 0x80u
#define LEVEL_MAX 32
/* No module has so many imports, but hostile bytes could name the same long tuple again and again. */
#define VISITS_MAX 4096u

/* Of Python 3.11, magic number 3495. */
#define MAGIC 3495u
#define CODE_NUMBERS 5u /* argcount, posonlyargcount, kwonlyargcount, stacksize, flags */
/* localsplusnames, localspluskinds, filename, name, qualname; then a number; linetable, exceptiontable */
#define CODE_OBJECTS_BEHIND 6u
enum opcode {
    CACHE = 0,
    PUSH_EXC_INFO = 35,
    POP_EXCEPT = 89,
    LOAD_CONST = 100,
    LOAD_NAME = 101,
    LOAD_ATTR = 106,
    IMPORT_NAME = 108,
    POP_JUMP_FORWARD_IF_FALSE = 114,
    EXTENDED_ARG = 144
};

struct parts {
    unsigned count;
    uint32_t at[PARTS_MAX];
};

struct reader {
    const unsigned char *bytes;
    uint32_t size, at;
    int is_bad;
    unsigned refs;
    uint32_t ref[REFS_MAX];     /* where the objects stand that others may refer to */
    struct parts consts, names; /* the module's */
    uint32_t code, code_size;
};

/* --- Numbers and texts ------------------------------------------------------------------------------------------- */

static int has(struct reader *r, uint32_t n)
{
    if (r->is_bad || r->size - r->at < n)
        r->is_bad = 1;
    return !r->is_bad;
}

static uint32_t read_number(struct reader *r, unsigned bytes)
{
    uint32_t value = 0;

    if (!has(r, bytes))
        return 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)r->bytes[r->at++] << (8 * i);
    return value;
}

static void pass(struct reader *r, uint32_t n)
{
    if (has(r, n))
        r->at += n;
}

/* How many bytes give a text's length; 0: the type is no text. */
static unsigned text_size(unsigned type)
{
    switch (type) {
    case 'z':
    case 'Z': return 1;
    case 'a':
    case 'A':
    case 'u':
    case 't':
    case 's': return 4;
    default: return 0;
    }
}

/* --- Objects ----------------------------------------------------------------------------------------------------- */

static void pass_object(struct reader *r, unsigned depth);

/* Passes `n` objects. Notes where each stands in `parts`, which may be NULL. */
static void pass_objects(struct reader *r, uint32_t n, unsigned depth, struct parts *parts)
{
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        if (parts != NULL && parts->count < PARTS_MAX)
            parts->at[parts->count++] = r->at;
        pass_object(r, depth);
    }
}

/* Reads the type of the next object, and notes the object if others can refer to it. */
static unsigned begin_object(struct reader *r)
{
    uint32_t at = r->at;
    unsigned type = read_number(r, 1);

    if (type & FLAG_REF) {
        if (r->refs == REFS_MAX)
            r->is_bad = 1;
        else
            r->ref[r->refs++] = at;
    }
    return type & ~FLAG_REF;
}

static void pass_code_behind(struct reader *r, unsigned depth)
{
    pass_objects(r, CODE_OBJECTS_BEHIND - 1, depth, NULL);
    pass(r, 4);
    pass_objects(r, 2, depth, NULL);
}

static void pass_code(struct reader *r, unsigned depth)
{
    pass(r, CODE_NUMBERS * 4);
    pass_objects(r, 3, depth, NULL); /* code, consts, names */
    pass_code_behind(r, depth);
}

static void pass_dict(struct reader *r, unsigned depth)
{
    while (has(r, 1) && r->bytes[r->at] != '0')
        pass_objects(r, 2, depth, NULL);
    pass(r, 1);
}

static void pass_object(struct reader *r, unsigned depth)
{
    unsigned type = begin_object(r);

    if (depth == DEPTH_MAX)
        r->is_bad = 1;
    if (r->is_bad)
        return;
    if (text_size(type) > 0) {
        pass(r, read_number(r, text_size(type)));
        return;
    }
    switch (type) {
    case 'N':
    case 'F':
    case 'T':
    case 'S':
    case '.': break;
    case 'i':
    case 'r': pass(r, 4); break;
    case 'g': pass(r, 8); break;
    case 'y': pass(r, 16); break;
    case 'l': {
        int32_t digits = (int32_t)read_number(r, 4);

        pass(r, 2 * (uint32_t)(digits < 0 ? -(int64_t)digits : digits));
        break;
    }
    case ')': pass_objects(r, read_number(r, 1), depth + 1, NULL); break;
    case '(':
    case '[':
    case '<':
    case '>': pass_objects(r, read_number(r, 4), depth + 1, NULL); break;
    case '{': pass_dict(r, depth + 1); break;
    case 'c': pass_code(r, depth + 1); break;
    default: r->is_bad = 1;
    }
}

/* --- The module -------------------------------------------------------------------------------------------------- */

/* Reads a tuple and notes its parts. A reference stands for the empty tuple: no other is written twice. */
static void read_tuple(struct reader *r, struct parts *parts)
{
    unsigned type = begin_object(r);

    if (type == 'r')
        pass(r, 4);
    else if (type == ')' || type == '(')
        pass_objects(r, read_number(r, type == ')' ? 1 : 4), 2, parts);
    else
        r->is_bad = 1;
}

static int read_module(struct reader *r)
{
    if (r->size < HEADER || (r->bytes[0] | (unsigned)r->bytes[1] << 8) != MAGIC || r->bytes[2] != '\r' ||
        r->bytes[3] != '\n')
        return -1;
    r->at = HEADER;
    if (begin_object(r) != 'c')
        return -1;
    pass(r, CODE_NUMBERS * 4);
    if (begin_object(r) != 's')
        return -1;
    r->code_size = read_number(r, 4);
    r->code = r->at;
    pass(r, r->code_size);
    read_tuple(r, &r->consts);
    read_tuple(r, &r->names);
    return r->is_bad ? -1 : 0; /* what stands behind does not matter */
}

/* --- What stands at a place -------------------------------------------------------------------------------------- */

/* Goes to the object at that place, or to the one that it refers to. Its type; 0: there is none. */
static unsigned go_to(struct reader *r, uint32_t at)
{
    unsigned type;

    r->at = at;
    type = read_number(r, 1) & ~FLAG_REF;
    if (type == 'r') {
        uint32_t ref = read_number(r, 4);

        if (r->is_bad || ref >= r->refs)
            return 0;
        r->at = r->ref[ref];
        type = read_number(r, 1) & ~FLAG_REF;
    }
    return r->is_bad ? 0 : type;
}

static unsigned go_to_part(struct reader *r, const struct parts *parts, uint32_t i)
{
    return i < parts->count ? go_to(r, parts->at[i]) : 0;
}

/* The text at the reader's place, whose type was read. Its length; 0: it is no text. */
static uint32_t take_text(struct reader *r, unsigned type, const char **text)
{
    uint32_t len = text_size(type) > 0 ? read_number(r, text_size(type)) : 0;

    *text = (const char *)r->bytes + r->at;
    return has(r, len) ? len : 0;
}

static uint32_t text_of_name(struct reader *r, uint32_t i, const char **text)
{
    return take_text(r, go_to_part(r, &r->names, i), text);
}

/* --- Instructions ------------------------------------------------------------------------------------------------ */

struct visitor {
    void (*visit)(void *ctx, const struct mioc_import *import);
    void *ctx;
    unsigned visits;
};

static void call(struct visitor *visitor, const struct mioc_import *import)
{
    if (visitor->visits++ < VISITS_MAX)
        visitor->visit(visitor->ctx, import);
}

/* The place behind the text, or the reference to one, at that place; 0: it is something else. */
static uint32_t end_of_text(struct reader *r, uint32_t at)
{
    unsigned type;

    r->at = at;
    type = read_number(r, 1) & ~FLAG_REF;
    if (type != 'r' && text_size(type) == 0)
        return 0;
    pass(r, type == 'r' ? 4 : read_number(r, text_size(type)));
    return r->is_bad ? 0 : r->at;
}

/* `name` is the instruction's argument. The two instructions before it have loaded constants: `level` and `items`. */
static void visit_import(struct reader *r, uint32_t name, uint32_t level, uint32_t items, struct visitor *visitor)
{
    struct mioc_import import = { 0 };
    uint32_t n = 0, at, next;
    unsigned type;

    if (go_to_part(r, &r->consts, level) != 'i' || (import.level = read_number(r, 4)) > LEVEL_MAX ||
        text_size(go_to_part(r, &r->names, name)) == 0)
        return;
    import.name_len = text_of_name(r, name, &import.name);
    call(visitor, &import);
    type = go_to_part(r, &r->consts, items);
    if (type == '(' || type == ')')
        n = read_number(r, type == ')' ? 1 : 4);
    for (at = r->at; n > 0 && visitor->visits < VISITS_MAX && (next = end_of_text(r, at)) != 0; n--, at = next) {
        import.item_len = take_text(r, go_to(r, at), &import.item);
        if (import.item_len > 0 && import.item[0] != '*')
            call(visitor, &import);
    }
    r->is_bad = 0; /* only this import is odd */
}

static int is_type_checking(struct reader *r, uint32_t name)
{
    static const char text[] = "TYPE_CHECKING";
    const char *found;

    return text_of_name(r, name, &found) == sizeof text - 1 && memcmp(found, text, sizeof text - 1) == 0;
}

/* `at` is behind a test of TYPE_CHECKING. The place behind the code that never runs. */
static uint32_t pass_type_checking(const struct reader *r, uint32_t at)
{
    const unsigned char *code = r->bytes + r->code;

    while (at + 2 <= r->code_size && code[at] == CACHE)
        at += 2;
    if (at + 2 <= r->code_size && code[at] == POP_JUMP_FORWARD_IF_FALSE)
        at += 2 + 2u * code[at + 1];
    return at;
}

static void visit_imports(struct reader *r, struct visitor *visitor)
{
    const unsigned char *code = r->bytes + r->code;
    uint32_t constant[2] = { UINT32_MAX, UINT32_MAX }, argument = 0;
    int is_in_handler = 0;

    for (uint32_t at = 0; at + 2 <= r->code_size;) {
        unsigned opcode = code[at];

        argument = argument << 8 | code[at + 1];
        at += 2;
        switch (opcode) {
        case EXTENDED_ARG: continue;
        case LOAD_CONST:
            constant[0] = constant[1];
            constant[1] = argument;
            break;
        case PUSH_EXC_INFO:
        case POP_EXCEPT: is_in_handler = opcode == PUSH_EXC_INFO; break;
        case LOAD_NAME:
        case LOAD_ATTR:
            if (is_type_checking(r, argument))
                at = pass_type_checking(r, at);
            r->is_bad = 0;
            break;
        case IMPORT_NAME:
            if (!is_in_handler)
                visit_import(r, argument, constant[0], constant[1], visitor);
            break;
        default: break;
        }
        argument = 0;
    }
}

int mioc_bytecode_imports(const unsigned char *bytes, size_t size,
                          void (*visit)(void *ctx, const struct mioc_import *import), void *ctx)
{
    struct reader reader = { .bytes = bytes, .size = size > UINT32_MAX ? 0 : (uint32_t)size };

    if (read_module(&reader) != 0)
        return -1;
    visit_imports(&reader, &(struct visitor){ visit, ctx, 0 });
    return 0;
}
