#include <attnres/bench.h>

#include <attnres/json.h>
#include <attnres/text.h>

size_t bench_print(const struct bench_result *result, char *text, size_t capacity)
{
    struct text out = {text, capacity, 0};
    text_add(&out,
             "floor: %.1f GFLOP/s (f32 product of 512-cubes), %.1f GB/s (sum of two arrays)\n\n",
             result->product_rate / 1e9, result->memory_rate / 1e9);
    text_add(&out, "%-30s %10s %10s %8s %9s\n", "", "ms", "GFLOP/s", "GB/s", "of floor");
    for (int i = 0; i < result->n_rows; i++) {
        const struct bench_row *row = &result->rows[i];
        text_add(&out, "%-30s %10.3f %10.1f %8.1f %9.2f\n", row->name, row->seconds * 1e3,
                 row->flops / row->seconds / 1e9, row->bytes / row->seconds / 1e9, row->share);
    }
    return out.length;
}

size_t bench_print_json(const struct bench_result *result, char *text, size_t capacity)
{
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    json_number(&w, "product_flops_per_s", result->product_rate);
    json_number(&w, "memory_bytes_per_s", result->memory_rate);
    json_begin_array(&w, "kernels");
    for (int i = 0; i < result->n_rows; i++) {
        const struct bench_row *row = &result->rows[i];
        json_begin_object(&w, NULL);
        json_text(&w, "name", row->name);
        json_number(&w, "seconds", row->seconds);
        json_number(&w, "flops", row->flops);
        json_number(&w, "bytes", row->bytes);
        json_number(&w, "share", row->share);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_ok(&w) ? w.length : 0;
}
