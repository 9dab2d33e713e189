/** What wire.c and planes.c share: where a frame's tensors lie. */
#ifndef ATTNRES_WIRE_INTERNAL_H
#define ATTNRES_WIRE_INTERNAL_H

#include <attnres/wire.h>

/** Elements of each tensor; checked against overflow. */
size_t wire_element_count(const struct wire_layout *layout);
int wire_element_bytes(enum wire_encoding encoding);
/** An int8 tensor begins with its scales, padded; 0 for the others. */
size_t wire_scale_bytes(const struct wire_layout *layout);
/** A tensor in the layout's encoding, or in f32, padded. */
size_t wire_encoded_bytes(const struct wire_layout *layout);
size_t wire_plain_bytes(const struct wire_layout *layout);

/** A frame's tensors, deflated, behind the message's header. Returns their length. */
size_t wire_deflate(unsigned char *message, const unsigned char *frame,
                    const struct wire_layout *layout);
/** The other way: fill the frame behind its header. ERROR_DATA if the length bytes of message are
 * not exactly such tensors. */
bool wire_inflate(unsigned char *frame, const unsigned char *message, size_t length,
                  const struct wire_layout *layout, struct error *err);

#endif
