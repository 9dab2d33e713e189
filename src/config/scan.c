/* Numbers and booleans as a file may spell them. */
#include "config_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Length of a decimal number at the start of text; 0 if there is none. Stricter than strtod: no
 * nan, inf, hex, and no leading zero, which other readers take for octal. */
static size_t number_length(const char *text)
{
    static const char digits[] = "0123456789";
    size_t at = text[0] == '+' || text[0] == '-';
    const size_t whole = strspn(text + at, digits);
    if (whole > 1 && text[at] == '0') {
        return 0;
    }
    at += whole;
    size_t fraction = 0;
    if (text[at] == '.') {
        fraction = strspn(text + at + 1, digits);
        at += 1 + fraction;
    }
    if (whole + fraction == 0) {
        return 0;
    }
    if (text[at] == 'e' || text[at] == 'E') {
        const size_t sign = text[at + 1] == '+' || text[at + 1] == '-';
        const size_t exponent = strspn(text + at + 1 + sign, digits);
        at += exponent == 0 ? 0 : 1 + sign + exponent;
    }
    return at;
}

static bool is_number(const char *text)
{
    const size_t length = number_length(text);
    return length > 0 && text[length] == '\0';
}

bool config_scan_real(const char *text, double *out)
{
    if (!is_number(text)) {
        return false;
    }
    errno = 0;
    const double value = strtod(text, NULL);
    if (errno == ERANGE || !isfinite(value)) {
        return false;
    }
    *out = value == 0 ? 0 : value; /* -0 is 0 */
    return true;
}

/* value * 10^exponent, if that is a whole number of 63 bits. */
static bool scale_exactly(int64_t value, long exponent, int64_t *out)
{
    for (; exponent < 0 && value != 0; exponent++) {
        if (value % 10 != 0) {
            return false;
        }
        value /= 10;
    }
    for (; exponent > 0 && value != 0; exponent--) {
        if (value > INT64_MAX / 10) {
            return false;
        }
        value *= 10;
    }
    *out = value;
    return true;
}

bool config_scan_int(const char *text, int64_t *out)
{
    if (!is_number(text)) {
        return false;
    }
    const bool is_negative = text[0] == '-';
    const char *c = text + (text[0] == '-' || text[0] == '+');
    int64_t digits = 0, n_fraction = 0;
    bool is_fraction = false;
    for (; *c != '\0' && *c != 'e' && *c != 'E'; c++) {
        if (*c == '.') {
            is_fraction = true;
            continue;
        }
        if (digits > (INT64_MAX - 9) / 10) {
            return false;
        }
        digits = digits * 10 + (*c - '0');
        n_fraction += is_fraction;
    }
    errno = 0;
    const long exponent = *c == '\0' ? 0 : strtol(c + 1, NULL, 10);
    int64_t value = 0;
    if (errno != 0 || labs(exponent) > CONFIG_MAX_FILE_BYTES ||
        !scale_exactly(digits, exponent - (long)n_fraction, &value)) {
        return false;
    }
    *out = is_negative ? -value : value;
    return true;
}

bool config_scan_bool(const char *text, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"on", true},
                 {"off", false}, {"yes", true},    {"no", false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}
