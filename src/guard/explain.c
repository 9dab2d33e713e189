/* A finding in words. */
#include <attnres/guard.h>

#include <inttypes.h>
#include <stdio.h>

#include <attnres/text.h>

static void name_output(struct text *t, const struct guard_finding *f, const struct plan *plan)
{
    if (f->index == plan->depth.n_sublayers) {
        text_add(t, "the logits");
    } else {
        text_add(t, "the output of model.layers.%" PRId64 ".%s", f->index / 2,
                 f->index % 2 == 0 ? "self_attn" : "mlp");
    }
}

static void name_taken(struct text *t, const struct guard_finding *f)
{
    if (f->stage == 0) {
        text_add(t, "the embedding of the tokens");
    } else {
        text_add(t, "what stage %d takes in from stage %d", f->stage, f->stage - 1);
    }
}

static void name_tensor(struct text *t, const struct guard_finding *f, const struct plan *plan)
{
    const char *row = plan->params.rows[f->index].name;
    switch ((enum guard_what)f->what) {
    case GUARD_NOTHING:
        text_add(t, "nothing");
        return;
    case GUARD_WEIGHT:
        text_add(t, "the weight %s", row);
        return;
    case GUARD_TAKEN:
        name_taken(t, f);
        return;
    case GUARD_OUTPUT:
        name_output(t, f, plan);
        return;
    case GUARD_GRADIENT:
        text_add(t, "the gradient of %s", row);
        return;
    case GUARD_GIVEN:
        text_add(t, "the gradient of what stage %d takes in", f->stage);
        return;
    case GUARD_SUM:
        text_add(t, "the summed gradient of %s", row);
        return;
    case GUARD_SQUARES:
        text_add(t, "the norm of the gradient of %s", row);
        return;
    case GUARD_UPDATE:
        text_add(t, "the update of %s", row);
        return;
    }
}

void guard_explain(char *text, size_t capacity, const struct guard_finding *finding,
                   const struct plan *plan)
{
    struct text t = {text, capacity, 0};
    name_tensor(&t, finding, plan);
    text_add(&t, " (");
    if (finding->microbatch >= 0) {
        text_add(&t, "microbatch %d, ", finding->microbatch);
    }
    text_add(&t, "stage %d, rank %d)", finding->stage, finding->rank);
}
