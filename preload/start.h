/* SPDX-License-Identifier: BSD-3-Clause */
/* start.h - what became of this process at its start. */
#ifndef MIOC_START_H
#define MIOC_START_H

/* "active: …", "inactive: REASON", or "" where there is nothing to say or main() has not begun. Lives for ever. */
const char *mioc_start_line(void);

#endif
