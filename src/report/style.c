/* Colours, symbols and axes that all figures share. */
#include "report_internal.h"

#include <math.h>
#include <string.h>

/** Colours that can be told apart without red and green (Okabe and Ito, "Color Universal Design",
 * 2008), and a symbol of gnuplot's for each. */
static const struct {
    const char *kind, *colour;
    int symbol;
} STYLES[] = {
    {"standard", "#000000", 7},          {"block", "#0072b2", 5},
    {"block_full", "#d55e00", 9},        {"full", "#009e73", 13},
    {"full+static", "#cc79a7", 11},      {"block+static", "#56b4e9", 4},
    {"block_full+static", "#e69f00", 8},
};
enum { N_STYLES = sizeof STYLES / sizeof STYLES[0] };

/** Known kinds have a style of their own; others take those that are left, in their order. */
static int style_of(const struct report *report, int kind)
{
    for (int i = 0; i < N_STYLES; i++) {
        if (strcmp(STYLES[i].kind, report->kinds[kind]) == 0) {
            return i;
        }
    }
    int n_others = 0;
    for (int other = 0; other < kind; other++) {
        bool is_known = false;
        for (int i = 0; i < N_STYLES; i++) {
            is_known = is_known || strcmp(STYLES[i].kind, report->kinds[other]) == 0;
        }
        n_others += !is_known;
    }
    return N_STYLES - 1 - n_others % N_STYLES;
}

void report_sort_kinds(struct report *report)
{
    for (int i = 1; i < report->n_kinds; i++) {
        for (int k = i; k > 0 && style_of(report, k) < style_of(report, k - 1); k--) {
            char name[FIT_KIND_BYTES];
            memcpy(name, report->kinds[k], sizeof name);
            memcpy(report->kinds[k], report->kinds[k - 1], sizeof name);
            memcpy(report->kinds[k - 1], name, sizeof name);
            for (int run = 0; run < report->n_runs; run++) {
                int *kind = &report->runs[run].kind;
                *kind = *kind == k ? k - 1 : (*kind == k - 1 ? k : *kind);
            }
        }
    }
}

const char *report_colour(const struct report *report, int kind)
{
    return STYLES[style_of(report, kind)].colour;
}

const char *report_colour_of(const struct report *report, const char *kind)
{
    int i = 0;
    while (i + 1 < report->n_kinds && strcmp(report->kinds[i], kind) != 0) {
        i++;
    }
    return report_colour(report, i);
}

int report_symbol(const struct report *report, int kind)
{
    return STYLES[style_of(report, kind)].symbol;
}

/** A label, of large and of small values as 3·10^{12}. */
static void add_tic(struct text *body, bool is_first, double value, double high)
{
    text_add(body, is_first ? "" : ", ");
    if (high >= 1e5 || high < 1e-3) {
        const double exponent = floor(log10(value) + 1e-9);
        text_add(body, "'%.3g·10^{%.0f}' %.9g", value / pow(10.0, exponent), exponent, value);
    } else {
        text_add(body, "%.6g", value);
    }
}

/** Of a short axis, every so much: about so many tics. */
static void add_even_tics(struct text *body, double low, double high)
{
    static const double ABOUT = 7.0;
    const double about = (high - low) / ABOUT, power = pow(10.0, floor(log10(about))),
                 ratio = about / power;
    const double step =
        power * (ratio < 1.5 ? 1.0 : (ratio < 3.5 ? 2.0 : (ratio < 7.5 ? 5.0 : 10.0)));
    const double first = ceil(low / step);
    for (int i = 0; (first + i) * step <= high * (1.0 + 1e-9); i++) {
        add_tic(body, i == 0, (first + i) * step, high);
    }
}

/** A few round multiples of powers of ten: more of them on an axis that spans no more than one. */
static void add_round_tics(struct text *body, double low, double high)
{
    static const double FEW[] = {1.0, 2.0, 5.0}, MORE[] = {1.0, 2.0, 3.0, 5.0, 7.0};
    const bool is_short = high / low <= 10.0;
    const double *factors = is_short ? MORE : FEW;
    const int n = is_short ? 5 : 3;
    bool is_first = true;
    for (double power = pow(10.0, floor(log10(low))); power <= high; power *= 10.0) {
        for (int i = 0; i < n; i++) {
            const double value = power * factors[i];
            if (value >= low && value <= high) {
                add_tic(body, is_first, value, high);
                is_first = false;
            }
        }
    }
}

void report_add_tics(struct text *body, const char *axis, double low, double high)
{
    static const double LONG = 100.0, SHORT = 4.0;
    if (!(low > 0.0) || !(high > low) || high / low > LONG) {
        text_add(body, "set %stics autofreq\n", axis);
        return;
    }
    text_add(body, "set %stics (", axis);
    if (high / low > SHORT) {
        add_round_tics(body, low, high);
    } else {
        add_even_tics(body, low, high);
    }
    text_add(body, ")\n");
}

double report_legend_pixels(size_t n_letters)
{
    /* of a wide font: which one gnuplot finds depends on the machine */
    static const double LETTER = 7.7, SAMPLE = 75.0;
    return LETTER * (double)n_letters + SAMPLE;
}

const char *report_loss_unit(const struct report *report)
{
    for (int i = 0; i < report->n_runs; i++) {
        if (!report->runs[i].is_bytes && !report->runs[i].is_apart) {
            return "nats per token";
        }
    }
    return "nats per byte";
}

int report_count_runs(const struct report *report, int kind)
{
    int n = 0;
    for (int i = 0; i < report->n_runs; i++) {
        n += (kind < 0 || report->runs[i].kind == kind) && !report->runs[i].is_apart;
    }
    return n;
}

/** Whether inspected runs are looked at that stand apart: only where there is no other. */
static bool are_apart(const struct report *report)
{
    for (int i = 0; i < report->n_runs; i++) {
        if (report->runs[i].n_looks > 0 && !report->runs[i].is_apart) {
            return false;
        }
    }
    return true;
}

static double spent_by(const struct report_run *run)
{
    const double flops = run->lines[run->n_lines - 1].flops;
    return isnan(flops) ? 0.0 : flops;
}

/** The same, of the size of one of the runs; NULL: of any. */
static int find_inspected(const struct report *report, int kind, const struct report_run *alike)
{
    const bool is_apart = are_apart(report);
    int best = -1;
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        const bool is_of_size =
            alike == NULL || (run->n_layers == alike->n_layers && run->dim == alike->dim);
        if (run->kind == kind && run->n_looks > 0 && run->is_apart == is_apart && is_of_size &&
            (best < 0 || spent_by(run) > spent_by(&report->runs[best]))) {
            best = i;
        }
    }
    return best;
}

int report_inspected_run(const struct report *report, int kind)
{
    return find_inspected(report, kind, NULL);
}

static int choose_of_size(const struct report *report, const struct report_run *alike,
                          int runs[FIT_MAX_KINDS])
{
    int n = 0;
    for (int kind = 0; kind < report->n_kinds; kind++) {
        const int run = find_inspected(report, kind, alike);
        if (run >= 0) {
            runs[n++] = run;
        }
    }
    return n;
}

int report_choose_alike(const struct report *report, int runs[FIT_MAX_KINDS])
{
    int n = 0;
    double most = -1.0;
    for (int i = 0; i < report->n_runs; i++) {
        int found[FIT_MAX_KINDS] = {0};
        const double spent = spent_by(&report->runs[i]);
        const int n_found = choose_of_size(report, &report->runs[i], found);
        if (n_found > n || (n_found == n && spent > most)) {
            memcpy(runs, found, sizeof found);
            n = n_found;
            most = spent;
        }
    }
    return n;
}
