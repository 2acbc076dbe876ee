/* SPDX-License-Identifier: BSD-3-Clause */
/* start.h - says what became of this process at its start. */
#ifndef MIOC_START_H
#define MIOC_START_H

/* Returns "active: …", "inactive: REASON", or "" if there is nothing to say or main() has not begun. The text lives for
 * ever. For any thread. */
const char *mioc_start_line(void);

#endif
