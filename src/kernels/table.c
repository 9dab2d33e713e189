#include "level.h"

const struct kernels KERNEL(kernels) = {
    .level = KERNELS_LEVEL_NAME,
    .embed_forward = KERNEL(embed_forward),
    .embed_backward = KERNEL(embed_backward),
    .rmsnorm_forward = KERNEL(rmsnorm_forward),
    .rmsnorm_backward = KERNEL(rmsnorm_backward),
    .rope_forward = KERNEL(rope_forward),
    .rope_backward = KERNEL(rope_backward),
    .attention_forward = KERNEL(attention_forward),
    .attention_backward = KERNEL(attention_backward),
    .attention_decode = KERNEL(attention_decode),
    .swiglu_forward = KERNEL(swiglu_forward),
    .swiglu_backward = KERNEL(swiglu_backward),
    .depth_inverse_rms = KERNEL(depth_inverse_rms),
    .depth_read_advance = KERNEL(depth_read_advance),
    .depth_read_finish = KERNEL(depth_read_finish),
    .depth_read_backward = KERNEL(depth_read_backward),
    .cross_entropy = KERNEL(cross_entropy),
    .add = KERNEL(add),
    .sum_squares = KERNEL(sum_squares),
    .adamw = KERNEL(adamw),
};
