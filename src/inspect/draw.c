/* The weights of each token as a picture: a panel for each source, in it a row for each read that
 * can see the source, the deepest on top, and a column for each token. */
#include <math.h>

#include <attnres/inspect.h>
#include <attnres/text.h>

/** In pixels. */
static const double LEFT = 96, RIGHT = 110, TOP = 64, ROW = 9, COLUMN = 12, PANEL_HEAD = 22,
                    PANEL_GAP = 12, TOKENS_FOOT = 26, SCALE_HEIGHT = 120, LEAST_WIDTH = 720;
enum { SMALL_TEXT = 10 };

const unsigned INSPECT_SHADES[INSPECT_N_SHADES] = {0xf7fbff, 0xd0e1f2, 0x94c4df,
                                                   0x4a98c9, 0x1764ab, 0x08306b};

/** As a colour of SVG, between the two shades that are next to it. */
static void add_shade(struct text *t, double weight)
{
    enum { N_STEPS = INSPECT_N_SHADES - 1 };
    const double place = N_STEPS * sqrt(fmin(fmax(weight, 0.0), 1.0));
    const int below = place < N_STEPS ? (int)place : N_STEPS - 1;
    text_add(t, "#");
    for (int shift = 16; shift >= 0; shift -= 8) {
        const int low = INSPECT_SHADES[below] >> shift & 0xff,
                  high = INSPECT_SHADES[below + 1] >> shift & 0xff;
        text_add(t, "%02x", (unsigned)lrint(low + (high - low) * (place - below)));
    }
}

static void draw_row(struct text *t, const struct inspection *r, int64_t l, int64_t id, double y)
{
    char name[INSPECT_NAME_BYTES];
    inspect_name_read(name, &r->depth, l);
    text_add(t, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\" font-size=\"8\">%s</text>\n",
             LEFT - 5, y + ROW - 2, name);
    for (int64_t token = 0; token < r->n_tokens; token++) {
        const double weight = inspect_weight(r, l, id, token);
        text_add(t, "<rect x=\"%.0f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\" fill=\"",
                 LEFT + COLUMN * (double)token, y, COLUMN, ROW);
        add_shade(t, weight);
        text_add(t, "\"><title>%s: %.3f</title></rect>\n", name, weight);
    }
}

/** XML's own characters, and what cannot be printed, by other means. */
static void draw_token(struct text *t, int32_t token, double x, double y)
{
    text_add(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", x, y);
    if (token == ' ') {
        text_add(t, "\xe2\x90\xa3");
    } else if (token < ' ' || token > '~') {
        text_add(t, "\xc2\xb7");
    } else {
        text_add(t, "&#%d;", (int)token);
    }
    text_add(t, "</text>\n");
}

/** Returns where the panel ends. */
static double draw_panel(struct text *t, const struct inspection *r, int64_t id,
                         const int32_t *prompt, double y)
{
    char name[INSPECT_NAME_BYTES] = "the read's own block so far";
    if (id <= r->depth.n_blocks) {
        inspect_name_source(name, &r->depth, id);
    }
    text_add(t, "<text x=\"%.0f\" y=\"%.1f\" font-weight=\"bold\">%s%s</text>\n", LEFT,
             y + PANEL_HEAD - 7, name, id == 0 ? ": the embedding" : "");
    y += PANEL_HEAD;
    for (int64_t l = r->depth.n_sublayers; l >= 0; l--) {
        if (!isnan(inspect_weight(r, l, id, 0))) {
            draw_row(t, r, l, id, y);
            y += ROW;
        }
    }
    for (int64_t token = 0; token < r->n_tokens; token++) {
        draw_token(t, prompt[token], LEFT + COLUMN * ((double)token + 0.5), y + 12);
    }
    return y + TOKENS_FOOT + PANEL_GAP;
}

/** Shades from 1 down to 0, with weights beside them. */
static void draw_scale(struct text *t, double x)
{
    enum { SLICES = 60 };
    static const double MARKS[] = {0.0, 0.02, 0.1, 0.25, 0.5, 1.0};
    const double top = TOP + 22, step = SCALE_HEIGHT / SLICES;
    text_add(t, "<text x=\"%.0f\" y=\"%.0f\">weight</text>\n", x, TOP + 14);
    for (int i = 0; i < SLICES; i++) {
        const double root = (i + 0.5) / SLICES;
        text_add(t, "<rect x=\"%.0f\" y=\"%.1f\" width=\"14\" height=\"%.1f\" fill=\"", x,
                 top + step * (SLICES - 1 - i), step + 0.5);
        add_shade(t, root * root);
        text_add(t, "\"/>\n");
    }
    for (size_t i = 0; i < sizeof MARKS / sizeof MARKS[0]; i++) {
        text_add(t, "<text x=\"%.0f\" y=\"%.1f\">%g</text>\n", x + 19,
                 top + SCALE_HEIGHT * (1.0 - sqrt(MARKS[i])) + 3, MARKS[i]);
    }
}

static double draw_panels(struct text *t, const struct inspection *r,
                          const struct inspect_label *label)
{
    const bool has_open = r->depth.kind != MODEL_FULL;
    double y = TOP;
    for (int64_t id = 0; id <= r->depth.n_blocks + has_open; id++) {
        y = draw_panel(t, r, id, label->prompt, y);
    }
    return y;
}

size_t inspect_draw(const struct inspection *r, const struct inspect_label *label, char *text,
                    size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity}, nowhere = {0};
    const double height = draw_panels(&nowhere, r, label),
                 panels = fmax(COLUMN * (double)r->n_tokens, LEAST_WIDTH - LEFT - RIGHT),
                 width = LEFT + panels + RIGHT;
    text_add(
        &t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 "
        "0 %.0f %.0f\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"%d\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
        "<text x=\"%.0f\" y=\"24\" font-size=\"15\" font-weight=\"bold\">What each token draws "
        "on</text>\n<text x=\"%.0f\" y=\"42\">%s, %lld layers, step %lld; a panel a source, a "
        "row a read that can see it (layers from 0), a column a token</text>\n",
        width, height, width, height, SMALL_TEXT, LEFT, LEFT, label->kind,
        (long long)(r->depth.n_sublayers / 2), (long long)label->step);
    draw_panels(&t, r, label);
    draw_scale(&t, LEFT + panels + 12);
    text_add(&t, "</svg>\n");
    return t.length;
}
