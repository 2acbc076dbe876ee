/* SPDX-License-Identifier: BSD-3-Clause */
/* bridge.h - a `ret` in somebody else's code, to return through: what is called then takes that code's object for its caller. */
#ifndef MIOC_BRIDGE_H
#define MIOC_BRIDGE_H

/* The address of a `ret` in the object that `caller`, a return address, lies in; 0: there is none that will do, or returning
 * through it would be an attack (shadow stacks). Only one that ends a function without a frame will do: there unwinders, which
 * believe that its function made the call, look for the return address where it is. */
unsigned long mioc_bridge_find(unsigned long caller);

#endif
