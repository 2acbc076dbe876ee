/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_gconv.c - a module of iconv that converts nothing. */
#include <gconv.h>
#include <stddef.h>

int gconv_init(struct __gconv_step *step);
int gconv_init(struct __gconv_step *step)
{
    step->__min_needed_from = step->__max_needed_from = 1;
    step->__min_needed_to = step->__max_needed_to = 4;
    step->__stateful = 0;
    return __GCONV_OK;
}

int gconv(struct __gconv_step *step, struct __gconv_step_data *data, const unsigned char **from,
          const unsigned char *end, unsigned char **to, size_t *irreversible, int flush, int consume);
int gconv(struct __gconv_step *step, struct __gconv_step_data *data, const unsigned char **from,
          const unsigned char *end, unsigned char **to, size_t *irreversible, int flush, int consume)
{
    (void)step, (void)data, (void)to, (void)irreversible, (void)flush, (void)consume;
    *from = end;
    return __GCONV_EMPTY_INPUT;
}
