/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_agent.c - a real agent among neighbours, threads and a transport that say and do anything, in any order:
 * messages that are well-formed, cut, repeated, or turned in any byte; in one half of the runs links join and are lost.
 * Promises: nothing but checked items reaches the store, in order and each once; what it sends is well-formed and goes
 * to neighbours only, after the greeting; every buffer comes back; an ended agent takes nothing any more; no child ends
 * its parent; who is linked stays so, until it says otherwise or its lease ends. */
#include "fuzz_agent_world.h"

/* --- What happens to it ------------------------------------------------------------------------------------------ */

static void deliver(int peer, const void *bytes, size_t size)
{
    uint64_t end = w.end;
    enum mioc_agent_end state = mioc_agent_state(w.agent);

    mioc_agent_message(w.agent, peer, bytes, size, w.now);
    PROMISE(state == MIOC_AGENT_RUNNING || w.end == end);
    PROMISE(!w.config.has_joins || peer < w.config.node || state != MIOC_AGENT_RUNNING ||
            mioc_agent_state(w.agent) != MIOC_AGENT_PROTOCOL);
    if (size <= sizeof last && bytes != (void *)last) {
        memcpy(last, bytes, size);
        last_size = size;
    }
}

/* Items one behind the other, as a parent sends them; some of them damaged. */
static void deliver_stream(struct fuzz_input *in, int peer)
{
    char *body = message + sizeof(struct mioc_message);
    unsigned items = 1 + fuzz_byte(in) % 4;
    size_t at = 0;

    for (unsigned i = 0; i < items; i++) {
        unsigned kind = 1 + fuzz_byte(in) % (MIOC_ITEM_KINDS - 1);
        uint32_t size = fuzz_item(in, item, kind), behind = 0;

        if (kind == MIOC_ITEM_CHUNK && ((struct mioc_chunk_record *)(void *)item)->length <= MIOC_CHUNK_MAX)
            behind = (((struct mioc_chunk_record *)(void *)item)->length + 7u) & ~7u;
        fuzz_mutate(in, item, size);
        if (at + size + behind > MIOC_MESSAGE_MAX - sizeof(struct mioc_message))
            break;
        memcpy(body + at, item, size);
        memset(body + at + size, 'b', behind);
        at += size + behind;
    }
    at -= fuzz_byte(in) == 255 && at > 8 ? 8 : 0;
    deliver(peer, message,
            mioc_wire_stream(message, fuzz_byte(in) < 250 ? w.end : fuzz_number(in, 8),
                             fuzz_byte(in) < 240 ? 0 : fuzz_odd_number(in, w.end) & ~7ull, body, (uint32_t)at));
}

/* Times that neighbours said, and what they promise. */
static void add_lease(struct fuzz_input *in)
{
    uint64_t clock = fuzz_byte(in) < 200 ? w.now : fuzz_odd_number(in, w.now);

    mioc_wire_add_lease(message, clock,
                        fuzz_byte(in) < 200 ? fuzz_number(in, 2) * 1000000 : fuzz_odd_number(in, w.now));
}

/* What comes with joins only, or with them means more. */
static void deliver_greeting(struct fuzz_input *in, int peer)
{
    uint64_t place = fuzz_byte(in) < 128 ? 0 : fuzz_byte(in) < 128 ? w.end : fuzz_odd_number(in, w.end);
    uint32_t node = fuzz_byte(in) < 200 ? (uint32_t)peer : fuzz_byte(in);
    const uint8_t *bytes;
    size_t size = fuzz_bytes(in, fuzz_byte(in) % 32, &bytes);

    if (peer < w.config.node)
        size = mioc_wire_body(message, MIOC_MESSAGE_WELCOME, place, bytes, (uint32_t)size);
    else
        size = mioc_wire_hello(message, node, place, bytes, (uint32_t)size);
    if (size == 0)
        return;
    add_lease(in);
    mioc_wire_add_stream(message, fuzz_byte(in) < 200 ? STREAM_NAME : fuzz_byte(in), fuzz_byte(in) % 4);
    fuzz_mutate(in, message, (uint32_t)size);
    deliver(peer, message, size);
}

static void deliver_message(struct fuzz_input *in, int peer)
{
    uint32_t len;
    const char *path;
    size_t size = 0;
    const uint8_t *bytes;

    switch (fuzz_byte(in) % 9) {
    case 0:
        path = fuzz_path(in, &len);
        size = mioc_wire_request(message, 1 + fuzz_byte(in) % 5, fuzz_byte(in) < 200 ? 0 : w.end, path, len);
        break;
    case 1:
        path = fuzz_path(in, &len);
        size = mioc_wire_invalidate(message, fuzz_byte(in) < 128 ? (uint32_t)peer : fuzz_byte(in) % 8, fuzz_byte(in),
                                    fuzz_byte(in) & 6u, path, len);
        break;
    case 2:
        size = mioc_wire_heartbeat(message, fuzz_byte(in) < 128 ? w.end : fuzz_odd_number(in, w.end),
                                   fuzz_byte(in) < 128 ? w.end : fuzz_odd_number(in, w.end));
        add_lease(in);
        break;
    case 3: size = mioc_wire_leave(message, fuzz_byte(in) % 16); break;
    case 4:
        size = fuzz_bytes(in, fuzz_byte(in), &bytes);
        size = mioc_wire_report(message, peer < w.config.node ? 0 : (uint32_t)peer, bytes, (uint32_t)size);
        break;
    case 5: /* again what came last */ deliver(peer, memcpy(message, last, last_size), last_size); return;
    case 6: /* anything at all */
        size = fuzz_bytes(in, fuzz_number(in, 2) % 2048, &bytes);
        memcpy(message, bytes, size);
        break;
    case 7: deliver_greeting(in, peer); return;
    default: deliver_stream(in, peer); return;
    }
    if (size == 0)
        return;
    fuzz_mutate(in, message, (uint32_t)size);
    if (fuzz_byte(in) == 255)
        size = fuzz_number(in, 2) % (size + 1);
    deliver(peer, message, size);
}

static void finish_send(unsigned i, int is_lost)
{
    int peer = w.sent_to[i];

    put_buffer(NULL, w.sent[i]);
    w.sent[i] = w.sent[--w.sends];
    w.sent_to[i] = w.sent_to[w.sends];
    if (is_lost)
        mioc_agent_lost(w.agent, peer, w.now);
    else
        mioc_agent_sent(w.agent, peer, w.now);
}

/* With joins, as the transport does: what was under way comes back first. */
static void lose(int peer)
{
    for (unsigned i = 0; i < w.sends;) {
        if (w.sent_to[i] == peer)
            finish_send(i, 0);
        else
            i++;
    }
    w.is_joined[peer] = w.has_greeted[peer] = 0;
    mioc_agent_lost(w.agent, peer, w.now);
}

static void join(int peer)
{
    if (w.is_joined[peer] && w.has_greeted[peer])
        lose(peer);
    if (peer == w.config.node)
        return;
    w.is_joined[peer] = 1;
    w.has_greeted[peer] = 0;
    mioc_agent_joined(w.agent, peer, w.now);
}

static void publish(struct fuzz_input *in)
{
    unsigned kind = 1 + fuzz_byte(in) % (MIOC_ITEM_KINDS - 1);
    uint32_t size = fuzz_item(in, item, kind);

    if (w.resolving > 0 && fuzz_byte(in) < 200) { /* the answer to a question */
        unsigned which = fuzz_byte(in) % (w.resolving < 64 ? w.resolving : 64);
        const char *path = w.question[which];

        size = mioc_item_finish(item,
                                mioc_item_begin(item, w.kind[which], MIOC_FLAG_UNCACHED, path, (uint32_t)strlen(path)));
    }
    /* The resolver is of this process: it publishes what is well-formed, and answers only. */
    if (mioc_item_check(item, size) == 0 && ((struct mioc_item *)(void *)item)->kind != MIOC_ITEM_INVALIDATE)
        (void)mioc_agent_publish(w.agent, (void *)item, item + MIOC_ITEM_MAX, w.now);
}

static void happen(struct fuzz_input *in)
{
    const char *path;
    uint32_t len;

    switch (fuzz_byte(in) % 14) {
    case 0:
        path = fuzz_path(in, &len);
        mioc_agent_ask(w.agent, fuzz_byte(in) < 250 ? 1 + fuzz_byte(in) % 5 : fuzz_byte(in), path, len, w.now);
        break;
    case 1:
        path = fuzz_path(in, &len);
        mioc_agent_wrote(w.agent, path, len, fuzz_byte(in), ++w.token, w.now);
        break;
    case 2:
        if (w.sends > 0)
            finish_send(fuzz_byte(in) % w.sends, fuzz_byte(in) >= 250);
        break;
    case 3:
        w.now += fuzz_byte(in) < 200 ? fuzz_number(in, 2) * 100000 : fuzz_number(in, 5);
        PROMISE(mioc_agent_tick(w.agent, w.now) > w.now);
        break;
    case 4:
        if (w.config.has_joins)
            lose(fuzz_byte(in) % JOIN_NODES);
        else
            mioc_agent_lost(w.agent, fuzz_byte(in) % 8, w.now);
        break;
    case 5:
        if (fuzz_byte(in) >= 200)
            mioc_agent_leave(w.agent, "report", 6, w.now);
        break;
    case 6: publish(in); break;
    case 7: mioc_agent_sent(w.agent, fuzz_byte(in) % 8, w.now); break;
    case 8:
        if (w.config.has_joins)
            join(fuzz_byte(in) < 128 ? fuzz_byte(in) % 8 : fuzz_byte(in) % JOIN_NODES);
        else
            mioc_agent_joined(w.agent, fuzz_byte(in), w.now);
        break;
    case 9:
        if (fuzz_byte(in) < 128)
            (void)mioc_agent_send_report(w.agent, "report", 6, w.now);
        else
            mioc_agent_want_reports(w.agent, w.now);
        break;
    default: deliver_message(in, fuzz_byte(in) < 250 ? fuzz_byte(in) % 8 : (int)fuzz_number(in, 4)); break;
    }
    if (w.hung_up > 0)
        lose(w.hung_up - 1);
    w.hung_up = 0;
    (void)mioc_agent_is_busy(w.agent);
    PROMISE(mioc_agent_children(w.agent) <= (w.config.has_joins ? MIOC_AGENT_CHILDREN_MAX : (unsigned)w.config.nodes));
    PROMISE(!w.was_linked || mioc_agent_is_linked(w.agent) || mioc_agent_state(w.agent) != MIOC_AGENT_RUNNING ||
            w.is_unlinked || w.now >= w.served_until);
    w.served_until = mioc_agent_served_until(w.agent);
    PROMISE(mioc_agent_is_linked(w.agent) ? w.served_until > w.now : w.served_until == 0);
    w.is_unlinked = 0;
    w.was_linked = mioc_agent_is_linked(w.agent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mioc_agent_host host = {
        .is_known = is_known,
        .append = append,
        .write_chunk = write_chunk,
        .read_chunk = read_chunk,
        .item_at = item_at,
        .end = end_of,
        .resolve = resolve,
        .invalidated = invalidated,
        .other_name = other_name,
        .settled = settled,
        .get_buffer = get_buffer,
        .put_buffer = put_buffer,
        .send = send_one,
        .answer = answer,
        .report = report,
        .wanted_report = wanted_report,
        .hello = hello,
        .welcomed = welcomed,
        .unlinked = unlinked,
        .hang_up = hang_up,
    };
    unsigned form;

    memset(&w, 0, sizeof w);
    last_size = 0;
    w.in = (struct fuzz_input){ data, size };
    w.now = 1000000000;
    form = fuzz_byte(&w.in);
    w.config = (struct mioc_agent_config){
        .node = (int)(form % 5),
        .nodes = form < 128 ? 5 : JOIN_NODES,
        .has_joins = form >= 128,
        .hello = "hello",
        .hello_size = 5,
        .arity = 1 + fuzz_byte(&w.in) % 3,
        .request_ns = 10000000000,
        .window = 2,
        .heartbeat_ns = 1000000000,
        .silence_ns = 10000000000,
        .lease_ns = 8500000000,
        .stream = STREAM_NAME,
    };
    w.agent = mioc_agent_new(&w.config, &host, w.now);
    PROMISE(w.agent != NULL);
    for (int steps = 0; w.in.left > 0 && steps < 2000; steps++)
        happen(&w.in);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    while (w.sends > 0)
        finish_send(0, 0);
    mioc_agent_free(w.agent);
    PROMISE(w.out == 0);
    return 0;
}
