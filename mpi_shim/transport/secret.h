/* SPDX-License-Identifier: BSD-3-Clause */
/* secret.h - what the nodes of a step have and nobody else: a key, or the user's word by MUNGE; and proofs of it.
 *
 * A function that fails returns -1 with a reason for people. Any thread. */
#ifndef MIOC_SECRET_H
#define MIOC_SECRET_H

#include <stddef.h>

#define MIOC_SECRET_KEY 32u
/* The shortest word of a launcher that is taken for a secret: who hears a handshake can guess at it. */
#define MIOC_SECRET_WORD_MIN 16u
/* The largest proof in bytes: a MUNGE credential, or a MAC. */
#define MIOC_SECRET_PROOF_MAX 3072u

struct mioc_secret {
    int has_key; /* otherwise MUNGE */
    unsigned char key[MIOC_SECRET_KEY];
};

/* The key of the step named `step`, from a file of 32 to 4096 bytes. Only its owner, who is this user or root, may be
 * able to read it. */
int mioc_secret_from_file(struct mioc_secret *secret, const char *path, const char *step, char *reason, size_t size);
/* The same from a word that the launcher gives its tasks (PMI_SHARED_SECRET, a number of 64 bits). */
int mioc_secret_from_word(struct mioc_secret *secret, const char *word, const char *step, char *reason, size_t size);
/* The same from random bytes. Cannot fail but for a libsodium that does not start. */
int mioc_secret_from_bytes(struct mioc_secret *secret, const unsigned char bytes[MIOC_SECRET_KEY], const char *step,
                           char *reason, size_t size);
/* MUNGE, if libmunge is there and munged makes a credential now. Waits for munged. */
int mioc_secret_from_munge(struct mioc_secret *secret, char *reason, size_t size);

/* Proves that this process has the secret. The proof holds for the 32 bytes of `bound` only. `share` becomes what only
 * the two sides know: part of the connection's key. Stores the proof's size in *proof_size. With MUNGE it waits for
 * munged. */
int mioc_secret_prove(const struct mioc_secret *secret, const unsigned char bound[32],
                      unsigned char proof[MIOC_SECRET_PROOF_MAX], size_t *proof_size, unsigned char share[32],
                      char *reason, size_t size);
/* Checks the other side's proof for `bound`, and gets its share. */
int mioc_secret_check(const struct mioc_secret *secret, const unsigned char bound[32], const unsigned char *proof,
                      size_t proof_size, unsigned char share[32], char *reason, size_t size);

#endif
