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

/** How a representative crosses a cut. Its values are already rounded to what the encoding holds,
 * so nothing is lost. */
enum wire_encoding { WIRE_F32, WIRE_BF16, WIRE_INT8 };

/** What a message carries: n_encoded tensors in this encoding, then n_plain in f32, each (rows,
 * cols). */
struct wire_layout {
    enum wire_encoding encoding;
    int64_t n_encoded, n_plain;
    int64_t rows, cols;
};

size_t wire_frame_bytes(const struct wire_layout *layout);

/** Encode tensors into frame behind its header. frame: wire_frame_bytes, 64-byte aligned; padding
 * is zeroed. scales: one pointer to (rows) per encoded tensor for WIRE_INT8 (value = integer *
 * scale), else ignored. */
void wire_pack(unsigned char *frame, const struct wire_label *label,
               const struct wire_layout *layout, const float *const *tensors,
               const float *const *scales);

/** Check header and CRC against what was expected (ERROR_DATA, naming the field, found and
 * expected) and decode the tensors, and scales as in wire_pack. Nothing is written when the check
 * fails. */
bool wire_unpack(float *const *tensors, float *const *scales, const unsigned char *frame,
                 const struct wire_label *expected, const struct wire_layout *layout,
                 struct error *err);

#endif
