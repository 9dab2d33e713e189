/** Frames and messages: what travels between stages looks like in memory.
 *
 *      | header 64 bytes | tensor 0, padded to 64 | tensor 1 | ...
 *
 *  The header names step, microbatch, sending stage, direction and payload length, and carries a
 * CRC-32 of header and payload: TCP can deliver wrong bytes with MPI_SUCCESS after a reset. The
 * receiver knows every field but the CRC beforehand and compares them all.
 *
 *  A message is the frame, or the frame deflated without loss: its header, then the tensors,
 * shorter by what the exponents repeat. It inflates into exactly the frame that the receiver
 * expects, whose CRC then proves it. */
#ifndef ATTNRES_WIRE_H
#define ATTNRES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>

enum { WIRE_HEADER_BYTES = 64 };

/** Between stages; between replicas (collective). */
enum wire_direction { WIRE_VALUES = 1, WIRE_GRADIENTS = 2, WIRE_SUMS = 3, WIRE_WEIGHTS = 4 };

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

/** Memory for deflating, of the largest message; one serves all messages of a rank in turn. */
struct wire_codec {
    struct zip_codec *zip;
    unsigned char *frame; /* wire_frame_bytes, 64-byte aligned */
    unsigned char *plane; /* wire_plane_bytes */
};

/** What a message carries: n_encoded tensors in this encoding, then n_plain in f32, each (rows,
 * cols). */
struct wire_layout {
    enum wire_encoding encoding;
    int64_t n_encoded, n_plain;
    int64_t rows, cols;
    const struct wire_codec *codec; /* what the message is deflated with; NULL: it is not */
};

/** Bytes of a frame; what a deflated message takes at most; what deflating needs beside. */
size_t wire_frame_bytes(const struct wire_layout *layout);
size_t wire_deflated_bytes(const struct wire_layout *layout);
size_t wire_plane_bytes(const struct wire_layout *layout);

/** What a message takes at most, as the layout has it. */
size_t wire_message_bytes(const struct wire_layout *layout);

/** Encode tensors into a message, its padding zeroed. Returns its length. message:
 * wire_message_bytes, 64-byte aligned. scales: one pointer to (rows) per encoded tensor for
 * WIRE_INT8, where value = integer x scale, else ignored. */
size_t wire_pack(unsigned char *message, const struct wire_label *label,
                 const struct wire_layout *layout, const float *const *tensors,
                 const float *const *scales);

/** Check a message of length bytes against what was expected (ERROR_DATA, naming what was found and
 * expected) and decode its tensors, and scales as in wire_pack. None of them is written when a
 * check fails, whatever the message holds. */
bool wire_unpack(float *const *tensors, float *const *scales, const unsigned char *message,
                 size_t length, const struct wire_label *expected, const struct wire_layout *layout,
                 struct error *err);

#endif
