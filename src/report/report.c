#include "report_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 500, MOST_WHY = 512 };

static const struct {
    const char *name, *title; /* of the files; above the picture */
    figure_function *draw;
} FIGURES[] = {
    {"loss-steps", "Loss against steps", report_draw_steps},
    {"loss-compute", "Loss against compute", report_draw_compute},
    {"multiplier", "What the baseline needs for the same loss", report_draw_multiplier},
    {"depth-width", "Depth against width", report_draw_shape},
    {"hops", "Accuracy per hop", report_draw_hops},
    {"maps", "What reads draw on", report_draw_maps},
    {"magnitude", "Magnitude along the depth", report_draw_magnitude},
    {"gradient", "Gradient along the depth", report_draw_gradient},
};
enum { N_FIGURES = sizeof FIGURES / sizeof FIGURES[0] };

/** What a figure's script begins with. */
static const char SCRIPT_MARK[] = "# Made by attnres report.";
/** Of a figure's files; the script goes last, since the others are known by it. */
static const char *const ENDINGS[] = {"svg", "png", "log", "gp"};
enum { N_ENDINGS = sizeof ENDINGS / sizeof ENDINGS[0] };

static bool read_runs(struct report *r, const char *const *paths, int n, struct error *err)
{
    enum error_kind first = ERROR_NONE;
    for (int i = 0; i < n; i++) {
        struct error failure = {0};
        if (report_read_run(&r->runs[r->n_runs], r, paths[i], &failure)) {
            r->n_runs++;
            continue;
        }
        report_finish_run(&r->runs[r->n_runs]);
        text_add(r->notes, "%s is left out: %s\n", paths[i], failure.message);
        first = first == ERROR_NONE ? failure.kind : first;
    }
    return r->n_runs > 0 || error_set(err, first, "no run is left to draw");
}

/** A word of the user's must name a kind that there is; without one, standard may be missing. */
static bool check_baseline(const struct report *r, struct error *err)
{
    const char *wanted = r->baseline;
    for (int i = 0; i < r->n_kinds; i++) {
        if (wanted == NULL || strcmp(r->kinds[i], wanted) == 0) {
            return true;
        }
    }
    error_set(err, ERROR_USAGE, "--baseline=%s: no run is of that kind; there are:", wanted);
    for (int i = 0; i < r->n_kinds; i++) {
        error_add(err, ERROR_USAGE, "  %s", r->kinds[i]);
    }
    return false;
}

static bool fit_axis(struct report *r, enum fit_axis axis, struct error *err)
{
    const struct fit_options options = {.axis = axis, .seed = 1, .n_redraws = 2000};
    const int baseline =
        fit_points_find_kind(&r->points, r->baseline != NULL ? r->baseline : "standard");
    return fit_report_make(&r->fits[axis], &r->points, baseline, &options, err);
}

static bool is_point(const struct fit_points *points, const char *path)
{
    for (int i = 0; i < points->n; i++) {
        if (strcmp(points->rows[i].source, path) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_twin(const struct fit_points *points, const char *path)
{
    for (int i = 0; i < points->n_left_out; i++) {
        if (points->left_out[i].has_twin && strcmp(points->left_out[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/** Finished runs whose losses do not compare with those of the points are not drawn among them. */
static void set_apart(struct report *r)
{
    int n_apart = 0, n_twins = 0;
    for (int i = 0; i < r->n_runs; i++) {
        struct report_run *run = &r->runs[i];
        run->has_twin = has_twin(&r->points, run->path);
        run->is_apart = report_has_end(run) && !run->has_twin && !is_point(&r->points, run->path);
        n_apart += run->is_apart;
        n_twins += run->has_twin;
    }
    if (n_twins > 0) {
        text_add(r->notes,
                 "drawn, but in no fit and no mean: runs that have another like them (%d)\n",
                 n_twins);
    }
    if (n_apart > 0) {
        text_add(r->notes, "in no figure of losses: finished runs that are left out (%d)\n",
                 n_apart);
    }
}

/** Why no run is a point. */
static const char *reason_against_fit(const struct report *r)
{
    bool is_done = false, has_loss = false;
    for (int i = 0; i < r->n_runs; i++) {
        const struct report_run *run = &r->runs[i];
        is_done = is_done || run->is_done;
        has_loss = has_loss || (run->is_done && !isnan(run->lines[run->n_lines - 1].val_loss));
    }
    if (!is_done) {
        return "no run has reached its last step";
    }
    return has_loss ? "all finished runs are left out" : "no finished run has a validation loss";
}

/** What cannot be fitted is noted, not an error: the curves are there all the same. */
static void fit_runs(struct report *r)
{
    struct error failure = {0};
    bool ok = true;
    for (int i = 0; ok && i < r->n_runs; i++) {
        ok = !r->runs[i].is_done || fit_points_read_run(&r->points, r->runs[i].path, &failure);
    }
    const bool has_points = ok && r->points.n > 0;
    ok = has_points && fit_points_arrange(&r->points, &failure);
    fit_tell_left_out(r->notes, &r->points);
    if (has_points) {
        set_apart(r);
    }
    for (enum fit_axis axis = 0; ok && axis < FIT_AXES; axis++) {
        r->has_fit[axis] = fit_axis(r, axis, &failure);
        ok = r->has_fit[axis];
    }
    if (!ok) {
        text_add(r->notes, "no fit: %s\n",
                 failure.kind != ERROR_NONE ? failure.message : reason_against_fit(r));
    }
    report_note_multipliers(r);
}

/** For paper: 300 dots an inch at a width of 8 inches, lines and letters as on the screen. */
static const char PNG[] = "pngcairo font 'Helvetica,10' fontscale 2.5 linewidth 2.5 pointscale 2.5";
static const double PNG_SCALE = 2.5;

/** A terminal's settings, then those of all figures, then the figure's own. */
static void add_drawing(struct text *t, const char *terminal, double scale, const char *name,
                        const char *ending, const struct figure *f)
{
    text_add(t,
             "set terminal %s size %d,%d background '#ffffff'\nset output '%s.%s'\n"
             "set encoding utf8\nset border 3 lc rgb '#444444'\nset tics nomirror out\nset grid lc "
             "rgb '#d8d8d8' lw 1 dt 1\nset key outside right top Left reverse noenhanced spacing "
             "1.25\n%s"
             "set output\nreset\n",
             terminal, (int)(scale * f->width), (int)(scale * f->height), name, ending,
             f->body->bytes);
}

static bool write_script(const struct report *r, const char *name, const struct figure *f,
                         struct error *err)
{
    enum { FIXED = 4096 };
    char path[FILE_PATH_BYTES], file[REPORT_NAME_BYTES], svg[REPORT_NAME_BYTES + 64];
    const size_t capacity = f->data->length + 2 * f->body->length + FIXED;
    char *bytes = calloc(capacity, 1);
    struct text script = {bytes, bytes != NULL ? capacity : 0, 0};
    text_add(&script, "%s Draw it again: gnuplot %s.gp\n%s", SCRIPT_MARK, name, f->data->bytes);
    snprintf(svg, sizeof svg, "svg font 'Helvetica,12' name '%s'", name);
    for (char *c = svg; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : *c; /* a name of gnuplot's has none */
    }
    add_drawing(&script, svg, 1.0, name, "svg", f);
    add_drawing(&script, PNG, PNG_SCALE, name, "png", f);
    assert(bytes == NULL || script.length < capacity);
    snprintf(file, sizeof file, "%s.gp", name);
    const bool ok = (bytes != NULL || error_set(err, ERROR_CREATE, "no memory for a figure")) &&
                    file_join(path, r->out, file, err) &&
                    file_replace(path, bytes, script.length, err);
    free(bytes);
    return ok;
}

/** OUT/NAME.ENDING */
static bool path_of(char path[FILE_PATH_BYTES], const struct report *r, const char *name,
                    const char *ending, struct error *err)
{
    char file[REPORT_NAME_BYTES];
    snprintf(file, sizeof file, "%s.%s", name, ending);
    return file_join(path, r->out, file, err);
}

/** Whether a file has our mark in its first bytes. */
static bool is_marked(const char *path, const char *mark)
{
    enum { HEAD_BYTES = 1024 };
    char head[HEAD_BYTES + 1] = "";
    struct file_reader file;
    if (!file_reader_open(&file, path, NULL)) {
        return false;
    }
    const int64_t length = file.length < HEAD_BYTES ? file.length : HEAD_BYTES;
    const bool ok = file_reader_read(&file, 0, head, (size_t)length, NULL);
    file_reader_close(&file);
    return ok && strstr(head, mark) != NULL;
}

static bool refuse_foreign(const char *path, struct error *err)
{
    return error_set(err, ERROR_CREATE,
                     "%s: was not made by attnres report, and would be written over: give a folder "
                     "of its own with --out=DIR",
                     path);
}

/** Whether all files that will be written or removed are ours or not there. What a script draws
 * has no mark: it is ours where its script is. */
static bool check_files(const struct report *r, struct error *err)
{
    char path[FILE_PATH_BYTES];
    if (!file_join(path, r->out, "index.html", err)) {
        return false;
    }
    if (!file_is_absent(path) && !is_marked(path, REPORT_PAGE_MARK)) {
        return refuse_foreign(path, err);
    }
    for (int i = 0; i < N_FIGURES; i++) {
        const bool is_ours =
            path_of(path, r, FIGURES[i].name, "gp", err) && is_marked(path, SCRIPT_MARK);
        for (int k = 0; k < N_ENDINGS && !is_ours; k++) {
            if (!path_of(path, r, FIGURES[i].name, ENDINGS[k], err)) {
                return false;
            }
            if (!file_is_absent(path)) {
                return refuse_foreign(path, err);
            }
        }
    }
    return true;
}

static bool remove_files(const struct report *r, const char *name, struct error *err)
{
    char path[FILE_PATH_BYTES];
    bool ok = true;
    for (int i = 0; ok && i < N_ENDINGS; i++) {
        ok = path_of(path, r, name, ENDINGS[i], err) && file_remove(path, err);
    }
    return ok;
}

/** Write the script, measured first, then filled. False, with `why` said, if there is nothing to
 * draw; and with err set if that failed. */
static bool write_figure(const struct report *r, int i, const char **caption, struct text *why,
                         struct error *err)
{
    struct text data = {0}, body = {0};
    struct figure f = {.width = WIDTH, .height = HEIGHT, .data = &data, .body = &body};
    if (!FIGURES[i].draw(&f, r, why)) {
        return false;
    }
    const size_t n_data = data.length + 1, n_body = body.length + 1;
    char *memory = calloc(n_data + n_body, 1);
    if (memory == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a figure");
    }
    data = (struct text){memory, n_data, 0};
    body = (struct text){memory + n_data, n_body, 0};
    FIGURES[i].draw(&f, r, why);
    const bool ok = write_script(r, FIGURES[i].name, &f, err);
    *caption = f.caption;
    free(memory);
    return ok;
}

/** A figure that gnuplot fails at is noted and left out, and the others are drawn all the same:
 * `failed` is the first. False if files cannot be written at all. */
static bool draw_figures(const struct report *r, struct report_picture *pictures, int *n_pictures,
                         struct error *failed, struct error *err)
{
    for (int i = 0; i < N_FIGURES; i++) {
        char reason[MOST_WHY] = "";
        struct text why = {reason, sizeof reason, 0};
        struct report_picture picture = {.name = FIGURES[i].name, .title = FIGURES[i].title};
        struct error failure = {0};
        if (!remove_files(r, picture.name, err)) {
            return false;
        }
        if (!write_figure(r, i, &picture.caption, &why, &failure)) {
            if (failure.kind != ERROR_NONE) {
                return error_set(err, failure.kind, "%s", failure.message);
            }
            text_add(r->notes, "no figure \"%s\": %s\n", picture.title, reason);
        } else if (r->has_gnuplot && report_run_gnuplot(r->out, picture.name, &failure)) {
            pictures[(*n_pictures)++] = picture;
        } else if (r->has_gnuplot) {
            text_add(r->notes, "no figure \"%s\": %s\n", picture.title, failure.message);
            *failed = failed->kind == ERROR_NONE ? failure : *failed;
        }
    }
    return true;
}

static bool make(struct report *r, const char *const *runs, int n, bool *has_page,
                 struct error *err)
{
    struct error failed = {0};
    struct report_picture pictures[N_FIGURES];
    int n_pictures = 0;
    if (!read_runs(r, runs, n, err) || !check_baseline(r, err) || !check_files(r, err) ||
        !file_make_folders(r->out, err)) {
        return false;
    }
    report_sort_kinds(r);
    report_name_runs(r);
    fit_runs(r);
    report_note_gaps(r);
    report_check_hops(r);
    report_note_looks(r);
    if (!r->has_gnuplot) {
        text_add(
            r->notes,
            "no figures: gnuplot is not there (Debian: gnuplot-nox); their scripts are in %s\n",
            r->out);
    }
    *has_page = draw_figures(r, pictures, &n_pictures, &failed, err) &&
                report_write_page(r, pictures, n_pictures, err);
    return *has_page &&
           (failed.kind == ERROR_NONE || error_set(err, failed.kind, "%s", failed.message));
}

static void finish(struct report *r)
{
    for (int i = 0; i < r->n_runs; i++) {
        report_finish_run(&r->runs[i]);
    }
    for (enum fit_axis axis = 0; axis < FIT_AXES; axis++) {
        fit_report_finish(&r->fits[axis]);
    }
    fit_points_finish(&r->points);
    free(r->runs);
    free(r);
}

bool report_write(const struct report_options *options, const char *const *runs, int n,
                  struct report_notes *notes, struct error *err)
{
    struct text note_text = {notes->text, sizeof notes->text, 0};
    notes->text[0] = '\0';
    notes->has_page = false;
    if (n > REPORT_MAX_RUNS) {
        return error_set(err, ERROR_USAGE, "%d runs; at most %d make a report", n, REPORT_MAX_RUNS);
    }
    struct report *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return error_set(err, ERROR_CREATE, "no memory");
    }
    *r = (struct report){.out = options->out,
                         .baseline = options->baseline,
                         .notes = &note_text,
                         .has_gnuplot = report_find_gnuplot(),
                         .wants_time = options->wants_time};
    r->runs = calloc((size_t)n, sizeof *r->runs);
    const bool ok = (r->runs != NULL || error_set(err, ERROR_CREATE, "no memory")) &&
                    make(r, runs, n, &notes->has_page, err);
    finish(r);
    return ok;
}
