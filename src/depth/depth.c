#include <attnres/depth.h>

#include <assert.h>

struct depth_plan depth_plan_make(const struct model_config *model)
{
    const int64_t L = 2 * model->n_layers;
    struct depth_plan plan = {.kind = model->kind, .n_sublayers = L};
    switch (model->kind) {
    case MODEL_STANDARD:
        plan.block_size = L;
        break;
    case MODEL_FULL:
        plan.n_blocks = L;
        plan.block_size = 1;
        break;
    case MODEL_BLOCK:
    case MODEL_BLOCK_FULL:
        plan.block_size = (L + model->n_blocks - 1) / model->n_blocks;
        plan.n_blocks = (L + plan.block_size - 1) / plan.block_size;
        break;
    }
    return plan;
}

int64_t depth_open_id(const struct depth_plan *plan, int64_t l)
{
    return plan->n_blocks + 1 + l;
}

int64_t depth_block_of(const struct depth_plan *plan, int64_t l)
{
    return l / plan->block_size + 1;
}

int64_t depth_block_first(const struct depth_plan *plan, int64_t n)
{
    return (n - 1) * plan->block_size;
}

int64_t depth_block_end(const struct depth_plan *plan, int64_t n)
{
    const int64_t end = n * plan->block_size;
    return end < plan->n_sublayers ? end : plan->n_sublayers;
}

bool depth_is_border(const struct depth_plan *plan, int64_t l)
{
    return plan->kind == MODEL_STANDARD || l == plan->n_sublayers || l % plan->block_size == 0;
}

struct depth_set depth_live(const struct depth_plan *plan, int64_t l)
{
    assert(l >= 0 && l <= plan->n_sublayers);
    struct depth_set set = {0};
    if (plan->kind == MODEL_STANDARD) {
        set.n_completed = l == 0;
        set.first_open = l == 0 ? 0 : depth_open_id(plan, l - 1);
        set.n_open = l > 0;
        return set;
    }
    if (l == plan->n_sublayers) {
        set.n_completed = plan->n_blocks + 1;
        return set;
    }
    const int64_t n = depth_block_of(plan, l);
    const int64_t first = depth_block_first(plan, n);
    set.n_completed = n;
    if (l > first) {
        set.n_open = plan->kind == MODEL_BLOCK ? 1 : l - first;
        set.first_open = depth_open_id(plan, l - set.n_open);
    }
    return set;
}

int64_t depth_set_count(const struct depth_set *set)
{
    return set->n_completed + set->n_open;
}

int64_t depth_set_id(const struct depth_set *set, int64_t i)
{
    assert(i >= 0 && i < depth_set_count(set));
    return i < set->n_completed ? set->first_completed + i : set->first_open + i - set->n_completed;
}

struct depth_output depth_output_of(const struct depth_plan *plan, int64_t l)
{
    assert(l >= 0 && l < plan->n_sublayers);
    struct depth_output out = {.value = depth_open_id(plan, l), .adds_to = -1, .completes = -1};
    if (plan->kind == MODEL_STANDARD) {
        out.adds_to = l == 0 ? 0 : depth_open_id(plan, l - 1);
        return out;
    }
    const int64_t n = depth_block_of(plan, l);
    const bool is_first = l == depth_block_first(plan, n);
    const bool is_last = l + 1 == depth_block_end(plan, n);
    if (plan->kind == MODEL_BLOCK && !is_first) {
        out.adds_to = depth_open_id(plan, l - 1);
    }
    if (is_last && (is_first || plan->kind == MODEL_BLOCK)) {
        out.value = n;
    } else if (is_last) {
        out.completes = n;
    }
    return out;
}

int64_t depth_pair_count(const struct depth_plan *plan)
{
    int64_t n_pairs = 0;
    for (int64_t l = 0; l <= plan->n_sublayers; l++) {
        const struct depth_set sources = depth_live(plan, l);
        const int64_t n = depth_set_count(&sources);
        n_pairs += n > 1 ? n : 0;
    }
    return n_pairs;
}
