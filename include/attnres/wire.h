/** Frames: what a message between stages looks like in memory.
 *
 *      | header 64 bytes | tensor 0, padded to 64 | tensor 1 | ...
 *
 *  The header names step, microbatch, sending stage, direction and payload length, and carries a
 * CRC-32 of header and payload: TCP can deliver wrong bytes with MPI_SUCCESS after a reset. The
 * receiver knows every field but the CRC beforehand and compares them all. */
#ifndef ATTNRES_WIRE_H
#define ATTNRES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>

enum { WIRE_HEADER_BYTES = 64 };

enum wire_direction { WIRE_VALUES = 1, WIRE_GRADIENTS = 2 };

/** What identifies a message; equal on both sides. */
struct wire_label {
    int64_t step;
    int32_t microbatch;
    int32_t stage; /* the sender's */
    enum wire_direction direction;
};

/** Bytes of a frame of n_tensors tensors of count floats each. */
size_t wire_frame_bytes(int64_t n_tensors, int64_t count);

/** Copy tensors into frame behind its header. frame: wire_frame_bytes, 64-byte aligned. Padding is
 * zeroed. */
void wire_pack(unsigned char *frame, const struct wire_label *label, const float *const *tensors,
               int64_t n_tensors, int64_t count);

/** Check header and CRC against what was expected (ERROR_DATA, naming the field, found and
 * expected) and copy the tensors out. Nothing is written when the check fails. */
bool wire_unpack(float *const *tensors, const unsigned char *frame,
                 const struct wire_label *expected, int64_t n_tensors, int64_t count,
                 struct error *err);

#endif
